//! Ledgers are compared: what was promised, what the servers' records say, what the functions told, and what is left.

use std::collections::{BTreeMap, HashMap};
use std::fmt::{self, Display};
use std::time::Duration;

use crate::api::{Cancelled, Record};
use crate::ledger::{Entries, Promise};
use crate::plan::Store;
use crate::stand::{Death, Leftovers};
use crate::witness::{Moment, Note};

/// What was gathered about one run.
#[derive(Debug)]
pub(crate) struct Evidence<'a> {
    pub(crate) entries: &'a Entries,
    /// The record of every call that was promised; none if there is none.
    pub(crate) records: &'a HashMap<String, Option<Record>>,
    /// The calls that are stored and were not promised.
    pub(crate) strays: &'a [Record],
    pub(crate) notes: &'a HashMap<String, Vec<Note>>,
    pub(crate) deaths: &'a [Death],
    pub(crate) left: &'a Leftovers,
    /// The engine carried nothing any more, though it answered.
    pub(crate) engine_hung: bool,
}

/// What came of one run.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) accepted: usize,
    pub(crate) lost: usize,
    pub(crate) unended: usize,
    pub(crate) success: usize,
    pub(crate) cancelled: usize,
    pub(crate) given_up: usize,
    /// Calls that an engine that hung kept from their ends until their time was up.
    pub(crate) timed_out: usize,
    /// Calls that took more than one attempt.
    pub(crate) repeated: usize,
    /// Calls that were executed more than once, each time under an attempt of its own.
    pub(crate) executed_again: usize,
    /// Executions of `default` functions whose input ended early with their server or engine. No call ended as one of them.
    pub(crate) cut_off: usize,
    /// Calls that are stored though their submission got no answer.
    pub(crate) strays: usize,
    pub(crate) leases: u64,
    pub(crate) queued: u64,
    pub(crate) containers: usize,
    pub(crate) faults: Vec<String>,
}

impl Verdict {
    pub(crate) fn of(evidence: &Evidence<'_>) -> Self {
        let Evidence { entries, strays, notes, left, .. } = evidence;
        let mut this = Self {
            accepted: entries.promises.len(),
            strays: strays.len(),
            leases: left.leases,
            queued: left.waiting,
            containers: left.containers.len(),
            faults: entries.faults.clone(),
            ..Self::default()
        };
        for (id, promise) in &entries.promises {
            match evidence.records.get(id).and_then(Option::as_ref) {
                None => this.lost += 1,
                Some(record) => this.ended(record, Some(promise), evidence),
            }
        }
        for record in *strays {
            this.ended(record, None, evidence);
        }
        if this.strays > entries.uncertain {
            this.faults.push(format!("{} calls were made of {} submissions", this.strays, entries.uncertain));
        }
        for id in notes.keys().filter(|id| !entries.promises.contains_key(*id)) {
            if !strays.iter().any(|record| record.id == *id) {
                this.faults.push(format!("{id} was executed, and there is no such call"));
            }
        }
        if this.given_up as u64 != left.dead {
            this.faults.push(format!("{} calls were given up, and {} are kept", this.given_up, left.dead));
        }
        this
    }

    /// Looks at one call.
    fn ended(&mut self, record: &Record, promise: Option<&Promise>, evidence: &Evidence<'_>) {
        let notes = evidence.notes.get(&record.id).map(Vec::as_slice).unwrap_or_default();
        let mut begun: BTreeMap<u32, usize> = BTreeMap::new();
        for note in notes {
            *begun.entry(note.attempt).or_default() += usize::from(note.moment == Moment::Began);
            if let Some(promise) = promise.filter(|promise| promise.body.digest != note.digest) {
                self.other_body(record, promise, note, evidence.deaths);
            }
        }
        self.repeated += usize::from(record.attempts > 1);
        self.executed_again += usize::from(begun.len() > 1);
        if begun.values().any(|times| *times > 1) {
            self.faults.push(format!("it was executed twice in one attempt: {record:?} {notes:?}"));
        }
        if begun.keys().any(|attempt| *attempt > record.attempts) {
            self.faults.push(format!("it was executed in an attempt that it does not know: {record:?} {notes:?}"));
        }
        match &*record.status {
            "success" => {
                self.success += 1;
                let last = |note: &&Note| note.attempt == record.attempts && note.moment == Moment::Ended;
                if notes.iter().find(last).is_none() {
                    self.faults.push(format!("nobody saw it succeed: {record:?} {notes:?}"));
                }
            }
            "cancelled" => {
                self.cancelled += 1;
                let asked = promise
                    .is_some_and(|promise| matches!(promise.cancelled, Some(Cancelled::Yes | Cancelled::Unanswered)));
                if !asked {
                    self.faults.push(format!("nobody cancelled it: {record:?}"));
                }
            }
            "error" if record.is_given_up() => self.given_up += 1,
            // Nobody can tell a function that hangs from one that the engine does not let get through.
            "timeout" if evidence.engine_hung => self.timed_out += 1,
            _ if record.is_final() => self.faults.push(format!("its function did nothing wrong: {record:?}")),
            _ => self.unended += 1,
        }
        if record.status != "cancelled" && promise.is_some_and(|promise| promise.cancelled == Some(Cancelled::Yes)) {
            self.faults.push(format!("it was cancelled: {record:?}"));
        }
    }

    /// An execution had another body than was promised. It may be the beginning of that, when a death ended the input of a
    /// `default` function, and the call did not end as what came of it.
    fn other_body(&mut self, record: &Record, promise: &Promise, note: &Note, deaths: &[Death]) {
        let came_to_nothing = note.attempt < record.attempts || record.status == "cancelled" || record.is_given_up();
        let cut = promise.body.beginnings.contains(&note.digest);
        if cut && came_to_nothing && deaths.iter().any(|death| death.explains(note.at)) {
            self.cut_off += usize::from(note.moment == Moment::Began);
        } else {
            self.faults.push(format!("the function got another body (a part of its own: {cut}): {record:?} {note:?}"));
        }
    }

    pub(crate) fn survived(&self) -> bool {
        let left = self.leases + self.queued + (self.lost + self.unended + self.containers) as u64;
        left == 0 && self.faults.is_empty()
    }
}

/// How a run went, in a line.
#[derive(Debug)]
pub(crate) struct Line<'a> {
    pub(crate) store: Store,
    pub(crate) seed: u64,
    /// By kind of victim.
    pub(crate) kills: &'a BTreeMap<&'static str, usize>,
    /// How often the engine had to be restarted because it hung.
    pub(crate) hangs: usize,
    pub(crate) took: Duration,
    pub(crate) looks: usize,
    pub(crate) verdict: &'a Verdict,
}

impl Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { store, seed, kills, hangs, took, looks, verdict } = self;
        let Verdict { accepted, lost, unended, success, cancelled, given_up, timed_out, .. } = verdict;
        let Verdict { repeated, executed_again, cut_off, strays, leases, queued, containers, faults, .. } = verdict;
        let outcome = if verdict.survived() { "survived" } else { "FAILED" };
        let total: usize = kills.values().sum();
        let kinds: Vec<String> = kills.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
        write!(
            f,
            "torture {store}: {outcome} seed={seed} kills={total} ({}) accepted={accepted} lost={lost} \
             unended={unended} success={success} cancelled={cancelled} given-up={given_up} engine-hung={hangs} timed-out={timed_out} repeated={repeated} \
             executed-again={executed_again} cut-off={cut_off} unexplained={} unanswered-but-stored={strays} looked-at={looks} \
             left: leases={leases} queued={queued} containers={containers} in {} s",
            kinds.join(", "),
            faults.len(),
            took.as_secs()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hearth_models::Timestamp;

    use crate::ledger::{Body, Ledger};

    fn record(status: &str, attempts: u32) -> Record {
        Record { id: "A".to_owned(), status: status.to_owned(), reason: None, error: None, attempts }
    }

    fn note(attempt: u32, moment: Moment) -> Note {
        Note { attempt, moment, digest: 7, at: Timestamp::from_millis(1000) }
    }

    fn verdict(record: Option<Record>, notes: &[Note]) -> Verdict {
        verdict_of(record, notes, Body { digest: 7, beginnings: Vec::new() }, &[])
    }

    fn verdict_of(record: Option<Record>, notes: &[Note], body: Body, deaths: &[Death]) -> Verdict {
        let ledger = Ledger::default();
        ledger.accepted("A", body);
        let (records, notes) = ([("A".to_owned(), record)].into(), [("A".to_owned(), notes.to_vec())].into());
        let entries = ledger.lock();
        let left = Leftovers::default();
        Verdict::of(&Evidence {
            entries: &entries,
            records: &records,
            strays: &[],
            notes: &notes,
            deaths,
            left: &left,
            engine_hung: false,
        })
    }

    const BEGAN: Moment = Moment::Began;
    const ENDED: Moment = Moment::Ended;

    #[test]
    fn a_call_that_was_executed_under_two_attempts_is_explained() {
        let verdict = verdict(Some(record("success", 2)), &[note(1, BEGAN), note(2, BEGAN), note(2, ENDED)]);
        assert!(verdict.survived(), "{verdict:?}");
        assert_eq!((verdict.success, verdict.repeated, verdict.executed_again), (1, 1, 1));
    }

    #[test]
    fn what_is_lost_or_has_not_ended_is_found() {
        assert_eq!(verdict(None, &[]).lost, 1);
        assert!(!verdict(None, &[]).survived());
        assert_eq!(verdict(Some(record("running", 1)), &[note(1, BEGAN)]).unended, 1);
    }

    #[test]
    fn input_may_be_cut_off_by_a_death_where_nothing_came_of_it() {
        let died = |at| {
            let at = Timestamp::from_millis(at);
            Death { from: at, until: at }
        };
        let cut = Note { digest: 5, ..note(1, BEGAN) };
        let again = [cut.clone(), note(2, BEGAN), note(2, ENDED)];
        let look = |record, notes: &[Note], beginnings: &[u64], died_at| {
            let body = Body { digest: 7, beginnings: beginnings.to_vec() };
            let verdict = verdict_of(Some(record), notes, body, &[died(died_at)]);
            // Nobody asked for it to be cancelled, which is another matter.
            let faults = verdict.faults.iter().filter(|fault| fault.contains("another body")).count();
            (verdict.cut_off, faults)
        };
        assert_eq!(look(record("success", 2), &again, &[4, 5], 900), (1, 0));
        assert_eq!(look(record("cancelled", 1), std::slice::from_ref(&cut), &[4, 5], 900), (1, 0));
        assert_eq!(look(record("success", 1), &[cut], &[4, 5], 900), (0, 1), "it ended so");
        assert_eq!(look(record("success", 2), &again, &[4], 900), (0, 1), "no part of it");
        assert_eq!(look(record("success", 2), &again, &[4, 5], 1001), (0, 1), "nobody had died");
    }

    #[test]
    fn what_cannot_be_explained_is_found() {
        let whole = [note(1, BEGAN), note(1, ENDED)];
        for (what, record, notes) in [
            ("twice in one attempt", record("success", 1), vec![note(1, BEGAN), note(1, BEGAN), note(1, ENDED)]),
            ("of an older attempt", record("success", 2), whole.to_vec()),
            ("of a later attempt", record("success", 1), [&whole[..], &[note(2, BEGAN)]].concat()),
            ("with nothing done", record("success", 1), vec![]),
            ("with another body", record("success", 1), vec![note(1, BEGAN), Note { digest: 8, ..note(1, ENDED) }]),
            ("cancelled by nobody", record("cancelled", 1), vec![]),
            ("a fault of the function", record("error", 1), vec![]),
        ] {
            let verdict = verdict(Some(record), &notes);
            assert!(!verdict.survived() && !verdict.faults.is_empty(), "{what}");
        }
    }
}

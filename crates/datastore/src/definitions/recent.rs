//! What was asked of late, in front of the cache: most calls find their definition here, without a key to be put together and
//! without a policy that keeps account of every look. Each question has one slot, and whichever of a slot's questions came
//! last has it; the others ask the cache.

use std::hash::{BuildHasher, RandomState};
use std::sync::{PoisonError, RwLock};

use super::Question;

const SLOTS: usize = 256;

#[derive(Debug)]
pub(super) struct Recent<T> {
    hasher: RandomState,
    slots: Box<[RwLock<Option<Entry<T>>>]>,
}

#[derive(Debug)]
struct Entry<T> {
    key: String,
    answer: T,
}

impl<T> Recent<T> {
    pub(super) fn new() -> Self {
        Self { hasher: RandomState::new(), slots: (0..SLOTS).map(|_| RwLock::new(None)).collect() }
    }

    /// What `look` makes of the answer to `question`, if it is here.
    pub(super) fn get<R>(&self, question: Question<'_>, look: impl FnOnce(&T) -> Option<R>) -> Option<R> {
        let slot = self.slot(question).read().unwrap_or_else(PoisonError::into_inner);
        slot.as_ref().filter(|entry| question.has_key(&entry.key)).and_then(|entry| look(&entry.answer))
    }

    /// Keeps `answer` to `question`, whose key is `key`.
    pub(super) fn put(&self, question: Question<'_>, key: String, answer: T) {
        *self.slot(question).write().unwrap_or_else(PoisonError::into_inner) = Some(Entry { key, answer });
    }

    fn slot(&self, question: Question<'_>) -> &RwLock<Option<Entry<T>>> {
        &self.slots[self.hasher.hash_one(question) as usize % SLOTS]
    }
}

#[cfg(test)]
mod tests {
    use hearth_models::FnId;

    use super::*;

    fn question(path: &str) -> Question<'_> {
        Question::Path { app: "app", path }
    }

    #[test]
    fn a_slot_answers_no_question_but_its_own() {
        let recent = Recent::new();
        let paths: Vec<String> = (0..1_000).map(|number| format!("/{number}")).collect();
        for path in &paths {
            recent.put(question(path), question(path).key(), path.clone());
            assert_eq!(recent.get(question(path), |answer| Some(answer.clone())).as_ref(), Some(path));
        }
        let kept = |path: &String| recent.get(question(path), |answer| Some(answer == path));
        let kept: Vec<bool> = paths.iter().filter_map(kept).collect();
        assert!((1..=SLOTS).contains(&kept.len()) && kept.into_iter().all(|own| own));
    }

    #[test]
    fn a_question_knows_its_key() {
        let (path, id) = (Question::Path { app: "a", path: "/b" }, Question::Function(FnId::generate()));
        assert!(path.has_key(&path.key()) && id.has_key(&id.key()));
        assert!(!path.has_key(&id.key()) && !id.has_key(&path.key()));
        assert!(!path.has_key("a/bc") && !path.has_key("aa/b") && !path.has_key("a"));
    }
}

use bytes::Bytes;
use proptest::prelude::*;
use tokio::io::duplex;
use tokio_util::io::StreamReader;

use super::*;

fn frame(stream: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![stream, 0, 0, 0];
    bytes.extend(u32::try_from(payload.len()).unwrap().to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// Decodes `pieces` as they arrive one by one, joining neighbours of the same stream.
fn decode(pieces: &[Vec<u8>]) -> (Vec<Frame>, Option<Error>) {
    let pieces: Vec<_> = pieces.iter().map(|piece| io::Result::Ok(Bytes::from(piece.clone()))).collect();
    let reader = StreamReader::new(futures_util::stream::iter(pieces));
    let mut output = Output::new(reader, BytesMut::new(), None);
    let mut frames: Vec<Frame> = Vec::new();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let error = runtime.block_on(async {
        while let Some(item) = output.next().await {
            match (item, frames.last_mut()) {
                (Ok(Frame::Stdout(new)), Some(Frame::Stdout(old)))
                | (Ok(Frame::Stderr(new)), Some(Frame::Stderr(old))) => {
                    *old = [&old[..], &new[..]].concat().into();
                }
                (Ok(frame), _) => frames.push(frame),
                (Err(error), _) => return Some(error),
            }
        }
        None
    });
    (frames, error)
}

#[test]
fn frames_end_cleanly_only_between_frames() {
    let whole = [frame(1, b"out"), frame(2, b"err"), frame(1, b"")].concat();
    let (frames, error) = decode(std::slice::from_ref(&whole));
    let expected = [Frame::Stdout(Bytes::from("out")), Frame::Stderr(Bytes::from("err"))];
    assert_eq!(frames, expected);
    assert!(error.is_none());
    for cut in 1..whole.len() {
        let (_, error) = decode(&[whole[..cut].to_vec()]);
        let boundary = [11, 22].contains(&cut);
        assert_eq!(error.is_none(), boundary, "cut at {cut}");
        assert!(error.is_none_or(|error| error.is_cut()));
    }
}

#[test]
fn what_is_no_frame_is_told_and_ends_the_stream() {
    for bad in [*b"HTTP/1.1", [3, 0, 0, 0, 0, 0, 0, 1], [1, 1, 0, 0, 0, 0, 0, 1]] {
        let (frames, error) = decode(&[bad.to_vec(), frame(1, b"more")]);
        assert!(frames.is_empty());
        assert!(crate::Chain(&error.unwrap()).to_string().contains("not the header of a frame"));
    }
}

proptest! {
    #[test]
    fn frames_survive_any_cutting_into_pieces(
        frames in proptest::collection::vec((1u8..=2, proptest::collection::vec(any::<u8>(), 0..200)), 0..20),
        cuts in proptest::collection::vec(1usize..64, 1..50),
    ) {
        let wire: Vec<u8> = frames.iter().flat_map(|(stream, payload)| frame(*stream, payload)).collect();
        let mut pieces = Vec::new();
        let mut rest = wire.as_slice();
        for cut in cuts.iter().cycle() {
            if rest.is_empty() { break; }
            let (piece, later) = rest.split_at((*cut).min(rest.len()));
            pieces.push(piece.to_vec());
            rest = later;
        }
        let (got, error) = decode(&pieces);
        prop_assert!(error.is_none());
        let all = |stream: u8| -> Vec<u8> {
            frames.iter().filter(|(s, _)| *s == stream).flat_map(|(_, payload)| payload.clone()).collect()
        };
        let mut streams = [Vec::new(), Vec::new()];
        for frame in got {
            match frame {
                Frame::Stdout(bytes) => streams[0].extend_from_slice(&bytes),
                Frame::Stderr(bytes) => streams[1].extend_from_slice(&bytes),
                Frame::Mark(..) => panic!("a mark"),
            }
        }
        prop_assert_eq!(&streams[0], &all(1));
        prop_assert_eq!(&streams[1], &all(2));
    }
}

/// Plays an engine that answers `answer`, and gives back what it was asked.
async fn asked(answer: &[u8]) -> (String, Result<Attached, Fault>) {
    let (client, mut engine) = duplex(64 * 1024);
    let (reader, writer) = tokio::io::split(client);
    let play = async {
        let mut request = BytesMut::new();
        while !request.ends_with(b"\r\n\r\n") {
            engine.read_buf(&mut request).await.unwrap();
        }
        for piece in answer.chunks(7) {
            engine.write_all(piece).await.unwrap();
        }
        drop(engine);
        String::from_utf8(request.to_vec()).unwrap()
    };
    tokio::join!(play, hijack(reader, writer, "docker", "abc", None))
}

#[tokio::test]
async fn the_first_frames_may_come_with_the_answer() {
    let answer =
        [&b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"[..], &frame(1, b"hello")].concat();
    let (request, attached) = asked(&answer).await;
    assert!(request.starts_with("POST /containers/abc/attach?stream=1&stdin=1&stdout=1&stderr=1 HTTP/1.1\r\n"));
    let frames: Vec<_> = attached.unwrap().output.map(Result::unwrap).collect().await;
    let bytes: Vec<u8> = frames
        .iter()
        .flat_map(|frame| match frame {
            Frame::Stdout(bytes) => bytes.to_vec(),
            Frame::Stderr(_) | Frame::Mark(..) => panic!("stderr"),
        })
        .collect();
    assert_eq!(bytes, b"hello");
}

#[tokio::test]
async fn refusals_carry_the_engines_words() {
    let body = r#"{"message":"No such container: abc"}"#;
    let length = body.len();
    let json = format!("HTTP/1.1 404 Not Found\r\nContent-Length: {length}\r\n\r\n{body}");
    let plain = "HTTP/1.1 409 Conflict\r\n\r\npaused\n".to_owned();
    for (answer, expected) in [(json, (404, "No such container: abc")), (plain, (409, "paused"))] {
        match asked(answer.as_bytes()).await.1 {
            Err(Fault::Refused { status, message }) => {
                assert_eq!((status, message.as_str()), expected);
            }
            Err(other) => panic!("{other:?}"),
            Ok(_) => panic!("attached"),
        }
    }
}

#[tokio::test]
async fn an_engine_that_hangs_up_is_away_and_one_that_babbles_makes_no_sense() {
    assert!(matches!(asked(b"HTTP/1.1 101 UPGR").await.1, Err(Fault::Away(_))));
    assert!(matches!(asked(b"\x01\x00\x00\x00nonsense\r\n\r\n").await.1, Err(Fault::Nonsense(_))));
    let endless = [&b"HTTP/1.1 101 UPGRADED\r\nX: "[..], &vec![b'x'; 2 * MAX_ANSWER]].concat();
    assert!(matches!(asked(&endless[..MAX_ANSWER / 2]).await.1, Err(Fault::Away(_))));
}

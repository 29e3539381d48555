use std::collections::BTreeMap;

use bytes::Bytes;
use hearth_models::Format;
use http::{HeaderMap, HeaderValue};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::env::tests::captured;
use crate::formats::tests::{Outcome, cut, decode, decoder};
use crate::formats::{Event, FormatError, JsonFault};

// === requests ===

#[test]
fn a_request_has_the_layout_of_the_contract() {
    let mut invocation = captured(Format::Json);
    invocation.request.target = "/r/specx/json?a=b&c".to_owned();
    invocation.request.headers.insert("fn_param_app", HeaderValue::from_static("client"));
    let text = String::from_utf8(request(&invocation, b"<h1>\"hi\"\n\xff\xe2\x82\x01").to_vec()).unwrap();
    assert_eq!(
        text,
        "{\n\"call_id\":\"01M7ZQASW747WVJ00000000000\"\n,\"content_type\":\"application/x-www-form-urlencoded\"\n\
         ,\"body\":\"\\u003ch1\\u003e\\\"hi\\\"\\n\u{fffd}\u{fffd}\u{fffd}\\u0001\"\n\
         ,\"protocol\":{\"type\":\"sync\"\n,\"request_url\":\"/r/specx/json?a=b\\u0026c\"\n,\"headers\":{\
         \"Accept\":[\"*/*\"],\"Content-Type\":[\"application/x-www-form-urlencoded\"],\"Fn_app_name\":[\"specx\"],\
         \"Fn_call_id\":[\"01M7ZQASW747WVJ00000000000\"],\"Fn_format\":[\"json\"],\"Fn_memory\":[\"128\"],\
         \"Fn_method\":[\"POST\"],\"Fn_param_app\":[\"client\",\"specx\"],\"Fn_param_route\":[\"/http\"],\
         \"Fn_path\":[\"/http\"],\"Fn_request_url\":[\"http://127.0.0.1:8081/r/specx/http\"],\"Fn_type\":[\"sync\"],\
         \"User-Agent\":[\"curl/7.88.1\"]}\n}\n}\n\n"
    );
}

#[test]
fn a_request_without_content_type_says_so() {
    let mut invocation = captured(Format::Json);
    invocation.request.headers = HeaderMap::new();
    let value: Value = serde_json::from_slice(&request(&invocation, b"")).unwrap();
    assert_eq!((&value["content_type"], &value["body"]), (&json!(""), &json!("")));
}

proptest! {
    #[test]
    fn a_request_reads_back(body in any::<String>(), target in any::<String>(), header in "[ -~\u{80}-\u{10ffff}]{0,20}") {
        let mut invocation = captured(Format::Json);
        invocation.request.target.clone_from(&target);
        invocation.request.headers.insert("x-y", HeaderValue::from_bytes(header.as_bytes()).unwrap());
        let value: Value = serde_json::from_slice(&request(&invocation, body.as_bytes())).unwrap();
        prop_assert_eq!(&value["body"], &json!(body));
        prop_assert_eq!(&value["protocol"]["request_url"], &json!(target));
        prop_assert_eq!(&value["protocol"]["headers"]["X-Y"], &json!([header]));
    }

    #[test]
    fn escapes_are_those_of_the_api(body in "([\\x00-\\x7f]|[<>&\"\\\\\u{2028}\u{2029}\u{2030}é\u{1f600}]){0,40}") {
        let expected = hearth_models::json::to_vec(&body).unwrap();
        let written = request(&captured(Format::Json), body.as_bytes());
        let at = written.windows(8).position(|bytes| bytes == b",\"body\":").unwrap() + 8;
        prop_assert_eq!(&written[at..at + expected.len()], &expected[..]);
    }

    #[test]
    fn any_body_can_be_sent(body in proptest::collection::vec(any::<u8>(), 0..60)) {
        let value: Value = serde_json::from_slice(&request(&captured(Format::Json), &body)).unwrap();
        let text = value["body"].as_str().unwrap();
        if let Ok(body) = std::str::from_utf8(&body) {
            prop_assert_eq!(text, body);
        }
    }
}

// === answers ===

fn answer(output: &[u8], closed: bool) -> Outcome {
    let outcome = decode(decoder(Format::Json), [output], closed);
    assert_eq!(outcome, decode(decoder(Format::Json), output.chunks(1), closed), "cut into bytes");
    outcome
}

#[test]
fn the_table_of_the_contract_holds() {
    for (output, status, body) in [
        (r#"{"body":"hi","content_type":5,"other":[{"x":"}"}]}"#, 200, "hi"),
        ("{}", 200, ""),
        (r#"{"protocol":{"status_code":418}}"#, 418, ""),
        (r#"{"protocol":{"status_code":0},"body":""}"#, 200, ""),
        (r#"{"protocol":null,"body":null}"#, 200, ""),
        (r#"{"protocol":{"status_code":null,"headers":null},"body":"x"}"#, 200, "x"),
        (r#"{"BODY":"x","Protocol":{"Status_Code":201}}"#, 201, "x"),
        (r#"{"body":"first","body":"last"}"#, 200, "last"),
        (" \r\n\t{ \"body\" : \"\\u0041\\n\\\"\\\\ }{\" }\n\n", 200, "A\n\"\\ }{"),
        (r#"{"body":"\ud83d\ude00"}"#, 200, "\u{1f600}"),
        (r#"{"body":"a\udc80b\ud800"}"#, 200, "a\u{fffd}b\u{fffd}"),
        (r#"{"body":"x","protocol":{"status_code":204}}"#, 204, ""),
        (r#"{"body":"x","protocol":{"status_code":999}}"#, 999, "x"),
    ] {
        let outcome = answer(output.as_bytes(), false);
        assert_eq!(outcome.end, Ok(true), "{output}");
        assert!(!outcome.surplus && !outcome.must_close, "{output}");
        let head = outcome.head.unwrap();
        assert_eq!((head.status.as_u16(), head.length), (status, Some(body.len() as u64)), "{output}");
        assert_eq!(outcome.body, body.as_bytes(), "{output}");
    }
}

#[test]
fn bytes_that_are_not_utf_8_become_replacement_characters() {
    let outcome = answer(b"{\"body\":\"a\xffb\"}", false);
    assert_eq!((outcome.end, &outcome.body[..]), (Ok(true), "a\u{fffd}b".as_bytes()));
}

#[test]
fn headers_come_from_the_protocol_and_lengths_from_the_body() {
    let output = br#"{"body":"four","protocol":{"headers":{
        "Content-Type":["text/x"],"X-Two":["1"," 2\r\nEvil: 3 "],"content-length":["999"],"Transfer-Encoding":["chunked"],
        "connection":["x-gone"],"X-Gone":["1"],"X-None":null,"X-Empty":[null]}}}"#;
    let head = answer(output, false).head.unwrap();
    let mut headers: Vec<(&str, &str)> =
        head.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    headers.sort_unstable();
    let expected = [("content-type", "text/x"), ("x-empty", ""), ("x-two", " 2  Evil: 3 "), ("x-two", "1")];
    assert_eq!(headers, expected);
    assert_eq!(head.length, Some(4));
}

#[test]
fn what_is_no_answer_is_refused_as_soon_as_it_shows() {
    for (output, expected) in [
        ("null", JsonFault::NotAnObject("something else")),
        ("[", JsonFault::NotAnObject("an array")),
        ("\"", JsonFault::NotAnObject("a string")),
        ("-", JsonFault::NotAnObject("a number")),
        ("Traceback", JsonFault::NotAnObject("something else")),
        ("{'", JsonFault::Malformed),
        ("{body", JsonFault::Malformed),
        ("{\"body\": None", JsonFault::Malformed),
        ("{\"body\n", JsonFault::Malformed),
        ("{\"body\":}", JsonFault::Malformed),
        ("{]", JsonFault::Malformed),
        ("{\"body\":\"\\x\"}", JsonFault::Malformed),
        ("{\"body\":5}", JsonFault::WrongType { line: 1, column: 9 }),
        ("{\"body\":[]}", JsonFault::WrongType { line: 1, column: 10 }),
        ("{\"protocol\":\n\"http\"}", JsonFault::WrongType { line: 2, column: 6 }),
        ("{\"protocol\":{\"status_code\":\"200\"}}", JsonFault::WrongType { line: 1, column: 32 }),
        ("{\"protocol\":{\"status_code\":99}}", JsonFault::StatusCode(99)),
        ("{\"protocol\":{\"status_code\":1000}}", JsonFault::StatusCode(1000)),
        ("{\"protocol\":{\"status_code\":-1}}", JsonFault::StatusCode(-1)),
        ("{\"protocol\":{\"status_code\":101}}", JsonFault::InterimStatus(101)),
        ("{\"protocol\":{\"headers\":{\"a b\":[\"1\"]}}}", JsonFault::Header),
    ] {
        assert_eq!(answer(output.as_bytes(), false).end, Err(expected.into()), "{output}");
    }
    let many: BTreeMap<String, [&str; 1]> = (0..300).map(|n| (format!("x-{n}"), ["1"])).collect();
    let output = json!({"protocol": {"headers": many}}).to_string();
    assert_eq!(answer(output.as_bytes(), false).end, Err(JsonFault::TooManyHeaders.into()));
}

#[test]
fn an_answer_that_breaks_off_is_an_error() {
    for output in ["", " \n"] {
        assert_eq!(answer(output.as_bytes(), true).end, Err(FormatError::Nothing));
    }
    for output in ["{", "{\"body\":\"", "{\"body\":\"\\", "{\"body\":\"a\"", "{\"a\":{}"] {
        assert_eq!(answer(output.as_bytes(), false).end, Ok(false), "{output}");
        assert_eq!(answer(output.as_bytes(), true).end, Err(JsonFault::Truncated.into()), "{output}");
    }
}

#[test]
fn a_second_object_is_surplus() {
    for (after, surplus) in [("\n", false), ("{}", true), (" x", true)] {
        let outcome = answer(format!("{{}}{after}").as_bytes(), true);
        assert_eq!((outcome.end, outcome.surplus), (Ok(true), surplus), "{after:?}");
    }
}

#[test]
fn a_body_without_escapes_is_not_copied() {
    let output = Bytes::from_static(b"{\"body\":\"hello\"}");
    let mut decoder = decoder(Format::Json);
    decoder.push(output.clone());
    decoder.next().unwrap();
    let Ok(Some(Event::Data(body))) = decoder.next() else { panic!("no body") };
    assert_eq!((body.as_ptr(), body.len()), (output[9..].as_ptr(), 5));
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            proptest::collection::btree_map(any::<String>(), inner, 0..3).prop_map(|map| json!(map)),
        ]
    })
}

proptest! {
    #[test]
    fn an_answer_is_read_however_it_is_cut(
        body in any::<String>(),
        status in 205..999u16,
        value in any::<String>(),
        other in any_json(),
        pretty in any::<bool>(),
        cuts in proptest::collection::vec(any::<usize>(), 0..10),
    ) {
        let object = json!({"aside": other, "body": body, "protocol": {
            "aside": other, "status_code": status, "headers": {"x-a": [value]}}});
        let text = if pretty { serde_json::to_string_pretty(&object) } else { serde_json::to_string(&object) }.unwrap();
        let outcome = decode(decoder(Format::Json), cut(text.as_bytes(), &cuts), false);
        prop_assert_eq!((outcome.end, outcome.surplus), (Ok(true), false));
        let head = outcome.head.unwrap();
        prop_assert_eq!(head.status.as_u16(), status);
        let shown: String = value.chars().map(|c| if c.is_ascii_control() { ' ' } else { c }).collect();
        prop_assert_eq!(head.headers["x-a"].as_bytes(), shown.as_bytes());
        if status != 304 {
            prop_assert_eq!(outcome.body, body.as_bytes());
        }
    }

    /// Whatever objects serde_json takes as a whole, the scanner finds the end of.
    #[test]
    fn the_scanner_ends_where_the_object_does(value in any_json(), after in "[ {}\"x]{0,3}") {
        let text = json!({"k": value}).to_string();
        let mut scanner = scan::Scanner::default();
        prop_assert_eq!(scanner.scan(format!("{text}{after}").as_bytes()), Ok(Some(text.len())));
    }

    #[test]
    fn a_fault_in_a_string_is_found_wherever_it_is(
        text in proptest::collection::vec((0x20..=0xffu8).prop_filter("plain", |byte| !b"\"\\".contains(byte)), 0..40),
        end in proptest::sample::select(vec![0, 0x0a, 0x1f, b'"', b'\\']),
        rest in proptest::collection::vec(any::<u8>(), 0..9),
    ) {
        let output = [&b"{\""[..], &text, &[end], &rest].concat();
        let found = scan::plain_text(&output[2..]);
        prop_assert_eq!(found, text.len());
    }
}

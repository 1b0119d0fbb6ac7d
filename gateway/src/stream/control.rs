//! What clients say on a socket: subscribe, unsubscribe, list, properties; and the answers.

use serde::Deserialize;
use serde_json::{Value, value::RawValue};

/// Streams that one socket may have.
pub const STREAMS_MAX: usize = 1_024;
/// Bytes of a request's id, which is sent back as it came.
pub const ID_BYTES_MAX: usize = 128;

/// A request's id, in the very characters of the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(String);

impl RequestId {
    pub fn none() -> Self {
        Self("null".to_owned())
    }

    /// Numbers, texts and null may be ids; a number that nobody could read back may not.
    fn of(raw: Option<&RawValue>) -> Option<Self> {
        let Some(raw) = raw else { return Some(Self::none()) };
        let text = raw.get();
        if text.len() > ID_BYTES_MAX {
            return None;
        }
        match serde_json::from_str(text).ok()? {
            Value::Null | Value::Number(_) | Value::String(_) => Some(Self(text.to_owned())),
            Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        }
    }
}

/// What a client wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    Subscribe(Vec<String>),
    Unsubscribe(Vec<String>),
    List,
    SetCombined(bool),
    GetCombined,
}

/// Why a request cannot be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub code: u8,
    pub msg: String,
}

impl Refusal {
    fn property() -> Self {
        Self { code: 0, msg: "Unknown property".to_owned() }
    }

    fn boolean() -> Self {
        Self { code: 1, msg: "Invalid value type: expected Boolean".to_owned() }
    }

    pub fn request(what: impl std::fmt::Display) -> Self {
        Self { code: 2, msg: format!("Invalid request: {what}") }
    }

    fn json(error: &serde_json::Error) -> Self {
        Self { code: 3, msg: format!("Invalid JSON: {error}") }
    }
}

#[derive(Deserialize)]
struct Frame<'a> {
    method: Option<String>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
}

/// Reads one text frame.
pub fn read(text: &str) -> (RequestId, Result<Request, Refusal>) {
    let frame: Frame = match serde_json::from_str(text) {
        Ok(frame) => frame,
        Err(error) if error.is_data() => {
            return (RequestId::none(), Err(Refusal::request(error)));
        }
        Err(error) => return (RequestId::none(), Err(Refusal::json(&error))),
    };
    let Some(id) = RequestId::of(frame.id) else {
        let refusal = Refusal::request("the id has to be a number, a text or null");
        return (RequestId::none(), Err(refusal));
    };
    let request = request(&frame);
    (id, request)
}

/// The answer that something was done.
pub fn done(id: &RequestId) -> String {
    result(id, "null")
}

/// An answer with a result that is JSON already.
pub fn result(id: &RequestId, json: &str) -> String {
    format!("{{\"result\":{json},\"id\":{}}}", id.0)
}

pub fn refused(id: &RequestId, refusal: &Refusal) -> String {
    let msg = Value::String(refusal.msg.clone());
    format!("{{\"code\":{},\"msg\":{msg},\"id\":{}}}", refusal.code, id.0)
}

fn request(frame: &Frame) -> Result<Request, Refusal> {
    let method = frame.method.as_deref().ok_or_else(|| Refusal::request("method is missing"))?;
    match method.to_ascii_uppercase().as_str() {
        "SUBSCRIBE" => names(frame.params).map(Request::Subscribe),
        "UNSUBSCRIBE" => names(frame.params).map(Request::Unsubscribe),
        "LIST_SUBSCRIPTIONS" => Ok(Request::List),
        "SET_PROPERTY" => set_property(frame.params),
        "GET_PROPERTY" => get_property(frame.params),
        _ => Err(Refusal::request("unknown method")),
    }
}

fn names(params: Option<&RawValue>) -> Result<Vec<String>, Refusal> {
    let names: Vec<String> = params
        .and_then(|params| serde_json::from_str(params.get()).ok())
        .ok_or_else(|| Refusal::request("params has to be a list of streams' names"))?;
    if names.is_empty() {
        return Err(Refusal::request("params names no stream"));
    }
    if names.len() > STREAMS_MAX {
        return Err(Refusal::request(format_args!("more than {STREAMS_MAX} streams")));
    }
    Ok(names)
}

fn set_property(params: Option<&RawValue>) -> Result<Request, Refusal> {
    let params: Vec<Value> = list(params)?;
    let [name, value] = params.as_slice() else { return Err(Refusal::property()) };
    if name.as_str() != Some("combined") {
        return Err(Refusal::property());
    }
    value.as_bool().map(Request::SetCombined).ok_or_else(Refusal::boolean)
}

fn get_property(params: Option<&RawValue>) -> Result<Request, Refusal> {
    let params: Vec<Value> = list(params)?;
    match params.as_slice() {
        [name] if name.as_str() == Some("combined") => Ok(Request::GetCombined),
        _ => Err(Refusal::property()),
    }
}

fn list(params: Option<&RawValue>) -> Result<Vec<Value>, Refusal> {
    params
        .and_then(|params| serde_json::from_str(params.get()).ok())
        .ok_or_else(|| Refusal::request("params has to be a list"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ids_come_back_as_they_came() {
        for id in ["1", "\"a-b\"", "null", "1e5", "0.10", "18446744073709551616"] {
            let text = format!("{{\"method\":\"LIST_SUBSCRIPTIONS\",\"id\":{id}}}");
            let (read_id, request) = read(&text);
            assert_eq!(request, Ok(Request::List));
            assert_eq!(done(&read_id), format!("{{\"result\":null,\"id\":{id}}}"));
        }
        let (id, _) = read("{\"method\":\"LIST_SUBSCRIPTIONS\"}");
        assert_eq!(done(&id), "{\"result\":null,\"id\":null}");
    }

    #[test]
    fn requests_are_read() {
        let cases = [
            (
                r#"{"method":"SUBSCRIBE","params":["a","b"],"id":1}"#,
                Ok(Request::Subscribe(vec!["a".into(), "b".into()])),
            ),
            (
                r#"{"method":"subscribe","params":["a"],"id":1}"#,
                Ok(Request::Subscribe(vec!["a".into()])),
            ),
            (
                r#"{"method":"SET_PROPERTY","params":["combined",true],"id":1}"#,
                Ok(Request::SetCombined(true)),
            ),
            (r#"{"method":"GET_PROPERTY","params":["combined"],"id":1}"#, Ok(Request::GetCombined)),
            (r#"{"method":"SET_PROPERTY","params":["combined",1],"id":1}"#, Err(1)),
            (r#"{"method":"SET_PROPERTY","params":["other",true],"id":1}"#, Err(0)),
            (r#"{"method":"SUBSCRIBE","params":[],"id":1}"#, Err(2)),
            (r#"{"method":"SUBSCRIBE","params":"a","id":1}"#, Err(2)),
            (r#"{"method":"SUBSCRIBE","params":["a"],"id":{}}"#, Err(2)),
            (r#"{"method":"LIST_SUBSCRIPTIONS","id":1e3308}"#, Err(2)),
            (r#"{"method":7}"#, Err(2)),
            (r#"{}"#, Err(2)),
            (r#"[]"#, Err(2)),
            (r#"{"method":"#, Err(3)),
            ("", Err(3)),
        ];
        for (text, expected) in cases {
            assert_eq!(read(text).1.map_err(|refusal| refusal.code), expected, "{text}");
        }
    }

    fn method() -> impl Strategy<Value = String> {
        prop_oneof![
            Just("SUBSCRIBE".to_owned()),
            Just("SET_PROPERTY".to_owned()),
            Just("GET_PROPERTY".to_owned()),
            "\\PC{0,12}",
        ]
    }

    proptest! {
        #[test]
        fn any_frame_gets_one_json_answer(text in "\\PC{0,200}") {
            let (id, request) = read(&text);
            let answer = match request {
                Ok(_) => done(&id),
                Err(refusal) => refused(&id, &refusal),
            };
            prop_assert!(serde_json::from_str::<Value>(&answer).is_ok(), "{answer}");
        }

        #[test]
        fn mutated_frames_get_one_json_answer(
            method in method(),
            names in prop::collection::vec("\\PC{0,20}", 0..5),
            id in any::<u64>(),
            cut in any::<prop::sample::Index>(),
            byte in any::<u8>(),
        ) {
            let frame = serde_json::json!({ "method": method, "params": names, "id": id });
            let mut bytes = frame.to_string().into_bytes();
            let at = cut.index(bytes.len());
            bytes[at] = byte;
            let text = String::from_utf8_lossy(&bytes);
            let (id, request) = read(&text);
            let answer = match request {
                Ok(_) => done(&id),
                Err(refusal) => refused(&id, &refusal),
            };
            prop_assert!(serde_json::from_str::<Value>(&answer).is_ok(), "{answer}");
        }
    }
}

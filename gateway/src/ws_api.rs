//! The WebSocket API: what REST does, asked for over one connection.
//!
//! A request is checked here, because it is signed in another way, and then goes through the very
//! routes that REST has: there is one implementation of everything. Requests of one connection
//! reach their shards in the order in which they were sent; answers come as they are ready.

mod methods;
mod request;
mod session;
#[cfg(test)]
mod ws_api_test;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{
        ConnectInfo, State,
        ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade, close_code},
    },
    http::{Request as HttpRequest, StatusCode},
    response::Response,
    routing::any,
};
use futures_util::{StreamExt, stream::FuturesUnordered};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::time::{Instant, interval_at, sleep, timeout};
use tower::ServiceExt;

use self::{
    methods::{Carried, Method, Security, SessionMethod, method},
    request::Request,
    session::Session,
};
use crate::{
    app::App,
    clock::now_ms,
    limits::Shown,
    listener::Peer,
    rest::{ORDER_COUNT_1M_HEADER, ORDER_COUNT_10S_HEADER, WEIGHT_HEADER, error::ApiError},
};

/// Requests of one connection that may be under way; more wait unread.
const UNDER_WAY_MAX: usize = 64;
/// Bytes of a request.
const REQUEST_BYTES_MAX: usize = 64 * 1024;
/// Bytes of an answer; the largest is all symbols of an account.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;
const PING_EVERY: Duration = Duration::from_secs(3 * 60);
const PONG_TIMEOUT: Duration = Duration::from_secs(10 * 60);
const LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);
/// Weight of a request about the connection itself.
const SESSION_WEIGHT: u32 = 2;
/// How long one answer may wait for the client to read.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// What a connection reaches: the routes of REST.
#[derive(Clone)]
struct Api {
    rest: Router,
    app: Arc<App>,
}

/// The WebSocket API over finished REST routes.
pub fn routes(rest: Router, app: Arc<App>) -> Router {
    Router::new()
        .route("/ws-fapi/v1", any(open))
        .route("/ws-fapi/v1/", any(open))
        .with_state(Api { rest, app })
}

async fn open(
    upgrade: WebSocketUpgrade,
    peer: Option<axum::Extension<ConnectInfo<Peer>>>,
    State(api): State<Api>,
) -> Response {
    let peer = peer.map(|axum::Extension(peer)| peer);
    upgrade
        .max_message_size(REQUEST_BYTES_MAX)
        .max_frame_size(REQUEST_BYTES_MAX)
        .on_upgrade(move |socket| serve(socket, api, peer))
}

async fn serve(mut socket: WebSocket, api: Api, peer: Option<ConnectInfo<Peer>>) {
    let session = Arc::new(Session::new());
    let mut answers = FuturesUnordered::new();
    let mut pings = interval_at(Instant::now() + PING_EVERY, PING_EVERY);
    let lifetime = sleep(LIFETIME);
    tokio::pin!(lifetime);
    let mut heard = Instant::now();
    loop {
        let message = tokio::select! {
            Some(answer) = answers.next() => Message::Text(answer),
            read = socket.recv(), if answers.len() < UNDER_WAY_MAX => {
                heard = Instant::now();
                match read {
                    Some(Ok(Message::Text(text))) => {
                        answers.push(answer(api.clone(), peer, Arc::clone(&session), text));
                        continue;
                    }
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                    Some(Ok(Message::Binary(_))) => close(close_code::UNSUPPORTED, "only text"),
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                }
            }
            _ = pings.tick() => {
                if heard.elapsed() < PONG_TIMEOUT {
                    Message::Ping(Default::default())
                } else {
                    close(close_code::POLICY, "pings were not answered")
                }
            }
            () = &mut lifetime => close(close_code::NORMAL, "a day has passed"),
        };
        let last = matches!(message, Message::Close(_));
        let written = timeout(WRITE_TIMEOUT, socket.send(message)).await;
        if last || !matches!(written, Ok(Ok(()))) {
            return;
        }
    }
}

fn close(code: u16, reason: &'static str) -> Message {
    Message::Close(Some(CloseFrame { code, reason: Utf8Bytes::from_static(reason) }))
}

/// What is said to a request.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    id: &'a RawValue,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rate_limits: Option<Vec<Used>>,
}

/// A limit and how much of it is used.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Used {
    #[serde(flatten)]
    limit: Shown,
    count: u32,
}

async fn answer(
    api: Api,
    peer: Option<ConnectInfo<Peer>>,
    session: Arc<Session>,
    text: Utf8Bytes,
) -> Utf8Bytes {
    let null = RawValue::NULL;
    let request = Request::read(&text);
    let id = request.as_ref().ok().and_then(|request| request.id.as_deref()).unwrap_or(null);
    let (reply, limits_wanted) = match &request {
        Ok(request) => (carry_out(&api, peer, &session, request).await, request.wants_limits()),
        Err(error) => (Err(error.clone()), false),
    };
    let said = match reply {
        Ok(reply) => {
            let done = reply.status.is_success();
            let (result, error) =
                if done { (Some(reply.body), None) } else { (None, Some(reply.body)) };
            let rate_limits = limits_wanted.then(|| api.used(&reply.counts));
            Answer { id, status: reply.status.as_u16(), result, error, rate_limits }
        }
        Err(error) => {
            let status = error.status.as_u16();
            let error = serde_json::value::to_raw_value(&error).ok();
            Answer { id, status, result: None, error, rate_limits: None }
        }
    };
    // A struct of texts and numbers always has a JSON form.
    serde_json::to_string(&said).unwrap_or_default().into()
}

/// What a route said.
struct Reply {
    status: StatusCode,
    body: Box<RawValue>,
    /// Of weight, orders in ten seconds, orders in a minute, where they were counted.
    counts: [Option<u32>; 3],
}

/// Checks who asks and does what is asked: here, or through the routes.
async fn carry_out(
    api: &Api,
    peer: Option<ConnectInfo<Peer>>,
    session: &Session,
    request: &Request<'_>,
) -> Result<Reply, ApiError> {
    match method(&request.method)? {
        Method::Session(method) => change_session(api, peer, session, method, request),
        Method::Carried(carried) => carry(api, peer, session, &carried, request).await,
    }
}

/// What concerns the connection itself; nothing waits here, so requests behind it find it done.
fn change_session(
    api: &Api,
    peer: Option<ConnectInfo<Peer>>,
    session: &Session,
    method: SessionMethod,
    request: &Request<'_>,
) -> Result<Reply, ApiError> {
    let peer = peer.map(|ConnectInfo(peer)| peer.0.ip());
    let used = api.app.limits.weigh(peer, SESSION_WEIGHT, now_ms())?;
    match method {
        SessionMethod::LogOn => {
            if let Some(caller) = request.authenticate(&api.app, Security::Signature, None)? {
                session.log_on(caller.key)?;
            }
        }
        SessionMethod::LogOut => session.log_out(),
        SessionMethod::Status => {}
    }
    let body = serde_json::value::to_raw_value(&session.standing()).map_err(ApiError::internal)?;
    Ok(Reply { status: StatusCode::OK, body, counts: [Some(used), None, None] })
}

/// Sends a request through the routes.
async fn carry(
    api: &Api,
    peer: Option<ConnectInfo<Peer>>,
    session: &Session,
    carried: &Carried,
    request: &Request<'_>,
) -> Result<Reply, ApiError> {
    let Carried { method, path, security } = carried;
    let caller = request.authenticate(&api.app, *security, session.key())?;
    let mut carried = HttpRequest::builder()
        .method(method)
        .uri(format!("{path}?{}", request.query()))
        .body(Body::empty())
        .map_err(|_| ApiError::invalid("params"))?;
    if let Some(caller) = caller {
        carried.extensions_mut().insert(caller);
    }
    if let Some(peer) = peer {
        carried.extensions_mut().insert(peer);
    }
    let response = match api.rest.clone().oneshot(carried).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, ANSWER_BYTES_MAX).await.map_err(ApiError::internal)?;
    let body = serde_json::from_slice(&body).map_err(ApiError::internal)?;
    let count = |name: &str| parts.headers.get(name)?.to_str().ok()?.parse().ok();
    let counts = [WEIGHT_HEADER, ORDER_COUNT_10S_HEADER, ORDER_COUNT_1M_HEADER].map(count);
    Ok(Reply { status: parts.status, body, counts })
}

impl Api {
    fn used(&self, counts: &[Option<u32>; 3]) -> Vec<Used> {
        let [weight, in_10s, in_minute] = *counts;
        let used = |limit: Shown| {
            let count = match (limit.rate_limit_type, limit.interval) {
                ("REQUEST_WEIGHT", _) => weight,
                (_, "SECOND") => in_10s,
                (_, _) => in_minute,
            };
            count.map(|count| Used { limit, count })
        };
        self.app.limits.shown().into_iter().filter_map(used).collect()
    }
}

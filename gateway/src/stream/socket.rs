//! One connection: its life, its limits, and the frames it sends and gets.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    body::Bytes,
    extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, close_code},
};
use futures_util::SinkExt;
use tokio::{sync::mpsc, time};
use tokio_tungstenite::tungstenite;

use super::{
    control,
    hub::{Ask, End, Hub, Line, SOCKET_QUEUE_MAX, SocketId, Why},
};

/// Bytes of a message that a client may send.
pub const MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// Messages that a client may send within [`MESSAGES_WINDOW`].
pub const MESSAGES_MAX: usize = 10;
pub const MESSAGES_WINDOW: Duration = Duration::from_secs(1);
/// How often the client is pinged, and how long it may leave pings unanswered.
pub const PING_EVERY: Duration = Duration::from_secs(3 * 60);
pub const PONG_TIMEOUT: Duration = Duration::from_secs(10 * 60);
/// How long a connection lives at most.
pub const LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);
/// How long one write may wait for the client to read.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
const STOPPING: &str = "the gateway is stopping";
/// Events written behind one another before they are flushed.
const WRITES_MAX: usize = 64;

/// What a connection's address asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Start {
    /// Events carry their stream's name.
    pub combined: bool,
    pub names: Vec<String>,
    pub listen_key: Option<String>,
}

/// Why a connection ends.
enum Ending {
    /// The client closed it, or it broke.
    Gone,
    Told(u16, &'static str),
}

/// Serves a connection until it ends.
pub async fn run(mut socket: WebSocket, hub: Arc<Hub>, start: Start) {
    let Some(id) = hub.enter() else {
        close(&mut socket, close_code::AGAIN, "too many connections").await;
        return;
    };
    let (queue, events) = mpsc::channel(SOCKET_QUEUE_MAX);
    let line = Line { queue, end: Arc::new(End::default()) };
    let end = Arc::clone(&line.end);
    let Start { combined, names, listen_key } = start;
    let open = Ask::Open { socket: id, line, combined, names, listen_key };
    let ending = if hub.ask(open).await {
        serve(&mut socket, &hub, id, events, &end).await
    } else {
        Ending::Told(close_code::AWAY, STOPPING)
    };
    hub.ask(Ask::Close { socket: id }).await;
    hub.leave();
    if let Ending::Told(code, reason) = ending {
        close(&mut socket, code, reason).await;
    }
}

async fn serve(
    socket: &mut WebSocket,
    hub: &Hub,
    id: SocketId,
    mut events: mpsc::Receiver<Utf8Bytes>,
    end: &End,
) -> Ending {
    let mut pings = time::interval_at(time::Instant::now() + PING_EVERY, PING_EVERY);
    let lifetime = time::sleep(LIFETIME);
    tokio::pin!(lifetime);
    let mut heard = Instant::now();
    let mut rate = Rate::default();
    loop {
        tokio::select! {
            why = end.told() => return told(why),
            event = events.recv() => {
                let Some(event) = event else { return told(end.told().await) };
                tokio::select! {
                    why = end.told() => return told(why),
                    written = write(socket, event, &mut events) => match written {
                        Ok(()) => {}
                        Err(ending) => return ending,
                    },
                }
            }
            message = socket.recv() => {
                let message = match message {
                    Some(Ok(message)) => message,
                    Some(Err(error)) => return broken(&error),
                    None => return Ending::Gone,
                };
                heard = Instant::now();
                if !rate.take(heard) {
                    return Ending::Told(close_code::POLICY, "too many messages");
                }
                if let Err(ending) = take(message, hub, id).await {
                    return ending;
                }
            }
            _ = pings.tick() => {
                if heard.elapsed() >= PONG_TIMEOUT {
                    return Ending::Told(close_code::POLICY, "pings were not answered");
                }
                let ping = socket.send(Message::Ping(Bytes::new()));
                if !matches!(time::timeout(WRITE_TIMEOUT, ping).await, Ok(Ok(()))) {
                    return Ending::Gone;
                }
            }
            () = &mut lifetime => return Ending::Told(close_code::NORMAL, "a day has passed"),
        }
    }
}

/// Hands a client's message on.
async fn take(message: Message, hub: &Hub, id: SocketId) -> Result<(), Ending> {
    let text = match message {
        Message::Text(text) => text,
        Message::Binary(_) => {
            return Err(Ending::Told(close_code::UNSUPPORTED, "only text is understood"));
        }
        // the library answers pings
        Message::Ping(_) | Message::Pong(_) => return Ok(()),
        Message::Close(_) => return Err(Ending::Gone),
    };
    let (request_id, request) = control::read(&text);
    let ask = match request {
        Ok(request) => Ask::Request { socket: id, id: request_id, request },
        Err(refusal) => Ask::Answer { socket: id, text: control::refused(&request_id, &refusal) },
    };
    if hub.ask(ask).await { Ok(()) } else { Err(Ending::Told(close_code::AWAY, STOPPING)) }
}

/// Writes an event and those that wait behind it.
async fn write(
    socket: &mut WebSocket,
    event: Utf8Bytes,
    events: &mut mpsc::Receiver<Utf8Bytes>,
) -> Result<(), Ending> {
    let all = async {
        socket.feed(Message::Text(event)).await?;
        for _ in 1..WRITES_MAX {
            let Ok(next) = events.try_recv() else { break };
            socket.feed(Message::Text(next)).await?;
        }
        socket.flush().await
    };
    match time::timeout(WRITE_TIMEOUT, all).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(Ending::Gone),
        Err(_) => Err(told(Why::Slow)),
    }
}

fn told(why: Why) -> Ending {
    match why {
        Why::Slow => Ending::Told(close_code::POLICY, "events were not read in time"),
        Why::Overrun => Ending::Told(close_code::AGAIN, "the gateway fell behind"),
        Why::Stopping => Ending::Told(close_code::AWAY, STOPPING),
        Why::ListenKey => Ending::Told(close_code::POLICY, "This listenKey does not exist."),
    }
}

fn broken(error: &axum::Error) -> Ending {
    use std::error::Error as _;
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(error) = inner.downcast_ref::<tungstenite::Error>() {
            return match error {
                tungstenite::Error::Capacity(_) => {
                    Ending::Told(close_code::SIZE, "the message is too long")
                }
                tungstenite::Error::Utf8(_) => {
                    Ending::Told(close_code::INVALID, "the message is not UTF-8")
                }
                tungstenite::Error::Protocol(_) => {
                    Ending::Told(close_code::PROTOCOL, "the frame is malformed")
                }
                _ => Ending::Gone,
            };
        }
        cause = inner.source();
    }
    Ending::Gone
}

/// Says goodbye; a client that does not read does not hold the gateway up.
async fn close(socket: &mut WebSocket, code: u16, reason: &'static str) {
    let frame = Message::Close(Some(CloseFrame { code, reason: reason.into() }));
    let _ = time::timeout(Duration::from_secs(1), socket.send(frame)).await;
}

/// When the last messages came.
#[derive(Default)]
struct Rate {
    times: VecDeque<Instant>,
}

impl Rate {
    /// False when this message is one too many.
    fn take(&mut self, now: Instant) -> bool {
        while self.times.front().is_some_and(|time| now - *time >= MESSAGES_WINDOW) {
            self.times.pop_front();
        }
        self.times.push_back(now);
        self.times.len() <= MESSAGES_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_messages_a_second_are_taken() {
        let mut rate = Rate::default();
        let begin = Instant::now();
        for _ in 0..MESSAGES_MAX {
            assert!(rate.take(begin));
        }
        assert!(!rate.take(begin + MESSAGES_WINDOW - Duration::from_millis(1)));
        assert!(rate.take(begin + MESSAGES_WINDOW));
    }
}

//! The methods of the WebSocket API and the routes that do the same.

use axum::http::Method as Http;

use crate::rest::error::ApiError;

/// What a method needs of its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    None,
    Key,
    Signature,
}

/// What a method is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Method {
    /// The connection itself.
    Session(SessionMethod),
    /// What a route of REST does.
    Carried(Carried),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionMethod {
    LogOn,
    Status,
    LogOut,
}

/// A route of REST.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carried {
    pub method: Http,
    pub path: &'static str,
    pub security: Security,
}

/// The method of that name.
pub fn method(name: &str) -> Result<Method, ApiError> {
    use Security as S;
    let (method, path, security) = match name {
        "session.logon" => return Ok(Method::Session(SessionMethod::LogOn)),
        "session.status" => return Ok(Method::Session(SessionMethod::Status)),
        "session.logout" => return Ok(Method::Session(SessionMethod::LogOut)),
        "ping" => (Http::GET, "/fapi/v1/ping", S::None),
        "time" => (Http::GET, "/fapi/v1/time", S::None),
        "depth" => (Http::GET, "/fapi/v1/depth", S::None),
        "ticker.price" => (Http::GET, "/fapi/v2/ticker/price", S::None),
        "ticker.book" => (Http::GET, "/fapi/v1/ticker/bookTicker", S::None),
        "order.place" => (Http::POST, "/fapi/v1/order", S::Signature),
        "order.modify" => (Http::PUT, "/fapi/v1/order", S::Signature),
        "order.cancel" => (Http::DELETE, "/fapi/v1/order", S::Signature),
        "order.status" => (Http::GET, "/fapi/v1/order", S::Signature),
        "algoOrder.place" => (Http::POST, "/fapi/v1/algoOrder", S::Signature),
        "algoOrder.cancel" => (Http::DELETE, "/fapi/v1/algoOrder", S::Signature),
        "account.status" => (Http::GET, "/fapi/v2/account", S::Signature),
        "account.balance" => (Http::GET, "/fapi/v2/balance", S::Signature),
        "account.position" => (Http::GET, "/fapi/v2/positionRisk", S::Signature),
        "v2/account.status" => (Http::GET, "/fapi/v3/account", S::Signature),
        "v2/account.balance" => (Http::GET, "/fapi/v3/balance", S::Signature),
        "v2/account.position" => (Http::GET, "/fapi/v3/positionRisk", S::Signature),
        "userDataStream.start" => (Http::POST, "/fapi/v1/listenKey", S::Key),
        "userDataStream.ping" => (Http::PUT, "/fapi/v1/listenKey", S::Key),
        "userDataStream.stop" => (Http::DELETE, "/fapi/v1/listenKey", S::Key),
        _ => return Err(ApiError::new(-1020, "This operation is not supported.")),
    };
    Ok(Method::Carried(Carried { method, path, security }))
}

//! The methods of the WebSocket API and the routes that do the same.

use axum::http::Method;

use crate::rest::error::ApiError;

/// What a method needs of its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    None,
    Key,
    Signature,
}

/// A route of REST.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    pub method: Method,
    pub path: &'static str,
    pub security: Security,
}

/// The route of a method.
pub fn endpoint(name: &str) -> Result<Endpoint, ApiError> {
    use Security as S;
    let (method, path, security) = match name {
        "ping" => (Method::GET, "/fapi/v1/ping", S::None),
        "time" => (Method::GET, "/fapi/v1/time", S::None),
        "depth" => (Method::GET, "/fapi/v1/depth", S::None),
        "ticker.price" => (Method::GET, "/fapi/v2/ticker/price", S::None),
        "ticker.book" => (Method::GET, "/fapi/v1/ticker/bookTicker", S::None),
        "order.place" => (Method::POST, "/fapi/v1/order", S::Signature),
        "order.modify" => (Method::PUT, "/fapi/v1/order", S::Signature),
        "order.cancel" => (Method::DELETE, "/fapi/v1/order", S::Signature),
        "order.status" => (Method::GET, "/fapi/v1/order", S::Signature),
        "algoOrder.place" => (Method::POST, "/fapi/v1/algoOrder", S::Signature),
        "algoOrder.cancel" => (Method::DELETE, "/fapi/v1/algoOrder", S::Signature),
        "account.status" => (Method::GET, "/fapi/v2/account", S::Signature),
        "account.balance" => (Method::GET, "/fapi/v2/balance", S::Signature),
        "account.position" => (Method::GET, "/fapi/v2/positionRisk", S::Signature),
        "v2/account.status" => (Method::GET, "/fapi/v3/account", S::Signature),
        "v2/account.balance" => (Method::GET, "/fapi/v3/balance", S::Signature),
        "v2/account.position" => (Method::GET, "/fapi/v3/positionRisk", S::Signature),
        "userDataStream.start" => (Method::POST, "/fapi/v1/listenKey", S::Key),
        "userDataStream.ping" => (Method::PUT, "/fapi/v1/listenKey", S::Key),
        "userDataStream.stop" => (Method::DELETE, "/fapi/v1/listenKey", S::Key),
        _ => return Err(ApiError::new(-1020, "This operation is not supported.")),
    };
    Ok(Endpoint { method, path, security })
}

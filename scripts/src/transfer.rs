//! `exchange account deposit` and `withdraw`, `exchange insurance deposit`: money from outside
//! and to it.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::{Error, admin::Admin};

/// A number for a transfer that nobody has numbered: later ones are greater.
pub fn number_of_now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// Whose money it is.
pub enum To {
    /// By its name.
    Account(String),
    Insurance,
}

/// The insurance fund's number, which no account has.
const INSURANCE: u64 = 0;

/// Hands a transfer to the admin API; returns what it said.
pub async fn send(
    admin: &Admin,
    path: &str,
    to: &To,
    transfer: u64,
    amount: &str,
) -> Result<Value, Error> {
    let account = match to {
        To::Insurance => INSURANCE,
        To::Account(name) => {
            let known = admin.get("/admin/accounts").await?;
            account_of(&known, name).ok_or_else(|| Error::Refused {
                what: path.to_owned(),
                reason: format!("there is no account {name}"),
            })?
        }
    };
    let body = json!({ "account": account, "transfer": transfer, "amount": amount });
    admin.post(path, &body).await
}

/// The number of the account of this name in the gateway's list.
fn account_of(known: &Value, name: &str) -> Option<u64> {
    let entries = known.as_array()?;
    let entry = entries.iter().find(|entry| entry["name"] == name)?;
    entry["account"].as_u64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_found_by_their_whole_name() {
        let known = json!([{ "account": 3, "name": "alice" }, { "account": 4, "name": "al" }]);
        assert_eq!(account_of(&known, "al"), Some(4));
        assert_eq!(account_of(&known, "bob"), None);
        assert_eq!(account_of(&json!({}), "al"), None);
    }

    #[test]
    fn numbers_fit_into_json_and_grow() {
        let number = number_of_now();
        assert!(number > 1_600_000_000_000_000 && number < 1 << 53);
        assert!(number_of_now() >= number);
    }
}

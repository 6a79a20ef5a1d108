//! An offer's routing as the database keeps it.
//!
//! Versions that counted no unique clicks wrote `"unique_window_secs": 0` where nobody had said anything. Those offers
//! count by the day, as new ones do. Who wants every click to be unique says so since, and it is kept with a word of
//! its own.

use super::routing::{RoutingBody, UNIQUE_SECS};
use serde::{Deserialize, Serialize};
use serde_json::Value;

const EVERY_CLICK: &str = "every_click_unique";

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Value", into = "Value")]
pub struct KeptRouting(pub RoutingBody);

impl TryFrom<Value> for KeptRouting {
    type Error = serde_json::Error;

    fn try_from(mut kept: Value) -> Result<Self, Self::Error> {
        let word = kept.as_object_mut().and_then(|kept| kept.remove(EVERY_CLICK));
        let mut routing: RoutingBody = serde_json::from_value(kept)?;
        if routing.unique_window_secs == 0 && word != Some(Value::Bool(true)) {
            routing.unique_window_secs = UNIQUE_SECS;
        }
        Ok(Self(routing))
    }
}

impl From<KeptRouting> for Value {
    fn from(KeptRouting(routing): KeptRouting) -> Self {
        let every_click = routing.unique_window_secs == 0;
        // A body has no keys but texts: it can always be written.
        let mut kept = serde_json::to_value(routing).unwrap_or_default();
        if let Some(kept) = kept.as_object_mut().filter(|_| every_click) {
            kept.insert(EVERY_CLICK.to_owned(), true.into());
        }
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::super::{read, written};
    use super::*;

    #[test]
    fn a_window_that_nobody_chose_is_a_day() {
        let older = r#"{"redirect":"found","pass_through":true,"unique_window_secs":0,"strict":false}"#;
        let minute = older.replace(":0", ":60");
        for (kept, secs) in [("{}", 86_400), (older, 86_400), (&minute, 60)] {
            let KeptRouting(routing) = read(kept).unwrap();
            assert_eq!(routing.unique_window_secs, secs, "{kept}");
        }
    }

    #[test]
    fn what_is_kept_reads_back() {
        for unique_window_secs in [0, 1, 86_400] {
            let routing =
                KeptRouting(RoutingBody { unique_window_secs, pass_through: true, ..RoutingBody::default() });
            let kept = written(&routing).unwrap();
            assert_eq!(read::<KeptRouting>(&kept).unwrap(), routing, "{kept}");
            let known = serde_json::from_str::<RoutingBody>(&kept).is_ok();
            assert_eq!(known, unique_window_secs > 0, "versions before read all but the new word: {kept}");
        }
        for kept in ["7", r#"{"unknown":1}"#, r#"{"unique_window_secs":-1}"#] {
            assert!(read::<KeptRouting>(kept).is_err(), "{kept}");
        }
    }
}

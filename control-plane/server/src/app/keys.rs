//! Credentials of people and programs: API keys, one-time login links, browser sessions.

use super::{App, catalog, clock};
use crate::error::AppError;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use control_plane_store::catalog::{ApiKey, NewApiKey};
use proto_model::{TenantId, UnixMicros};
use proto_wire::keys::sha256;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

const LOGIN_SECS: i64 = 30 * 60;
const SESSION_SECS: i64 = 12 * 3_600;
/// More open login links than this means that something asks for them in a loop.
const MAX_LOGINS: usize = 1_000;

/// A random secret of 256 bits behind a prefix that tells people (and secret scanners) what it is.
pub fn secret_text(prefix: &str) -> String {
    format!("{prefix}{}", URL_SAFE_NO_PAD.encode(clock::random::<32>()))
}

/// The key's record, and its secret: shown once, stored as a hash. `tenant: None` is an operator's key.
pub async fn create_api_key(
    app: &App,
    tenant: Option<TenantId>,
    name: &str,
) -> Result<(ApiKey, String), AppError> {
    let secret = secret_text("tbk_");
    let new = NewApiKey {
        tenant,
        name: catalog::checked_name(name)?.to_owned(),
        secret_sha256: sha256(secret.as_bytes()),
        created_at: clock::now(),
    };
    let key = app.store.create_api_key(&new).await.map_err(AppError::of("tenant"))?;
    Ok((key, secret))
}

/// Who holds this secret. Unknown and revoked keys are told apart from nothing.
pub async fn authenticate(app: &App, secret: &str) -> Result<ApiKey, AppError> {
    if secret.len() > 100 || !secret.starts_with("tbk_") {
        return Err(AppError::Unauthenticated);
    }
    match app.store.find_api_key(&sha256(secret.as_bytes())).await? {
        Some(key) if !key.revoked => Ok(key),
        _ => Err(AppError::Unauthenticated),
    }
}

/// Login links that nobody has followed yet. They live in memory: a restart voids them.
#[derive(Default)]
pub struct Logins {
    open: Mutex<HashMap<[u8; 32], UnixMicros>>,
}

impl Logins {
    fn insert(&self, hash: [u8; 32], now: UnixMicros) -> Result<(), AppError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, expires| *expires > now);
        if open.len() >= MAX_LOGINS {
            return Err(AppError::Unavailable("too many login links are open"));
        }
        open.insert(hash, now.plus_secs(LOGIN_SECS));
        Ok(())
    }

    fn take(&self, hash: &[u8; 32], now: UnixMicros) -> bool {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.remove(hash).is_some_and(|expires| expires > now)
    }
}

/// A token for `/login/{token}` that logs one browser in, once, within 30 minutes.
pub fn one_time_login(app: &App) -> Result<String, AppError> {
    let token = secret_text("");
    app.logins.insert(sha256(token.as_bytes()), clock::now())?;
    Ok(token)
}

/// Trades a login token for a session token, the value of the session cookie.
pub fn redeem_login(app: &App, token: &str) -> Result<String, AppError> {
    let now = clock::now();
    if !app.logins.take(&sha256(token.as_bytes()), now) {
        return Err(AppError::Unauthenticated);
    }
    let expires = now.plus_secs(SESSION_SECS).secs();
    let body = format!("{expires}.{}", URL_SAFE_NO_PAD.encode(clock::random::<16>()));
    let tag = app.authority.api_mac("session", body.as_bytes());
    Ok(format!("{body}.{}", URL_SAFE_NO_PAD.encode(tag)))
}

/// True when this session token is ours and has not expired. A session is an operator's.
pub fn session_is_valid(app: &App, token: &str) -> bool {
    let Some((body, tag)) = token.rsplit_once('.') else { return false };
    let Ok(tag) = URL_SAFE_NO_PAD.decode(tag) else { return false };
    if !app.authority.api_mac_verifies("session", body.as_bytes(), &tag) {
        return false;
    }
    let expires = body.split_once('.').and_then(|(secs, _)| secs.parse::<i64>().ok());
    expires.is_some_and(|secs| secs > clock::now().secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_link_works_once_and_not_after_half_an_hour() {
        let logins = Logins::default();
        let at = UnixMicros::from_secs(1_000);
        logins.insert([1; 32], at).unwrap();
        logins.insert([2; 32], at).unwrap();
        assert!(!logins.take(&[3; 32], at), "unknown");
        assert!(logins.take(&[1; 32], at.plus_secs(LOGIN_SECS - 1)));
        assert!(!logins.take(&[1; 32], at), "used");
        assert!(!logins.take(&[2; 32], at.plus_secs(LOGIN_SECS)), "expired");
    }
}

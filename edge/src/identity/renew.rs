//! Keeps the certificate young. An expired one can still be renewed for a while, with proof of the batch
//! key, so that a node which was cut off for days comes back by itself.

use super::enroll::{ANSWER_TIMEOUT, certificate_request, usable};
use super::{ControlLink, IdentityError, TlsIdentity, files, server_only};
use crate::forward::Backoff;
use crate::node::now_secs;
use crate::spool::{Shut, SpoolHandle};
use proto_model::Lane;
use proto_wire::edge_v1::RenewRequest;
use proto_wire::edge_v1::edge_service_client::EdgeServiceClient;
use proto_wire::join::renew_message;
use proto_wire::keys;
use std::sync::Arc;
use std::time::Duration;
use tonic::Code;

/// Certificates live for 14 days.
const RENEW_AFTER_SECS: i64 = 24 * 3600;
const LOOK_EVERY: Duration = Duration::from_secs(600);
/// Without a certificate nothing can be sent, so the return of the control plane must be noticed soon.
const HURRY: Backoff = Backoff::between(Duration::from_secs(1), Duration::from_secs(15));

#[derive(Debug, thiserror::Error)]
pub enum RenewError {
    #[error("no connection to the control plane")]
    Connect(#[from] tonic::transport::Error),
    #[error(
        "the control plane refused to renew the certificate (was this edge revoked? is the clock right?)"
    )]
    Refused(#[source] Box<tonic::Status>),
    #[error("no certificate request could be made")]
    Request(#[from] rcgen::Error),
    #[error("the control plane did not answer in time")]
    TimedOut(#[from] tokio::time::error::Elapsed),
    #[error("the control plane answered without a certificate for our key")]
    Answer,
    #[error("the renewed certificate cannot be stored")]
    Store(#[from] IdentityError),
}

impl RenewError {
    /// The control plane knows who asks, and will never again give a certificate: revoked, unknown, too late.
    fn is_final(&self) -> bool {
        let Self::Refused(status) = self else { return false };
        matches!(status.code(), Code::PermissionDenied | Code::Unauthenticated | Code::FailedPrecondition)
    }
}

pub struct Renewer {
    pub link: Arc<ControlLink>,
    /// Is shut when no session will ever be opened again. The sender opens it with the next session.
    pub spool: SpoolHandle,
}

impl Renewer {
    /// Runs until it is dropped. Clocks are looked at often rather than slept on: they may be set.
    pub async fn run(self) {
        let mut hurry = HURRY;
        loop {
            let expired = self.link.tls().lasts(now_secs()).is_none();
            let late = self.look(expired).await.is_err() && expired;
            if !late {
                hurry = HURRY;
            }
            let lasts = self.link.tls().lasts(now_secs()).map(|left| left.max(Duration::from_secs(1)));
            let pause = match lasts {
                // It may end before the next look.
                Some(left) => LOOK_EVERY.min(left),
                None if late => hurry.next(keys::random()),
                // A new one that is over already: the two clocks disagree.
                None => LOOK_EVERY,
            };
            tokio::time::sleep(pause).await;
        }
    }

    async fn look(&self, expired: bool) -> Result<(), RenewError> {
        if !expired && !due(self.link.tls().issued_at_secs, now_secs()) {
            return Ok(());
        }
        let renewed = self.renew().await;
        if let Err(error) = &renewed {
            if expired && error.is_final() {
                Lane::ALL.iter().for_each(|lane| self.spool.shut(*lane, Shut::Denied));
            }
            let error = crate::with_causes(error);
            tracing::warn!(error, expired, "the certificate could not be renewed; trying again later");
        }
        renewed
    }

    pub async fn renew(&self) -> Result<(), RenewError> {
        let identity = self.link.identity();
        let (key_pkcs8, csr_der) = certificate_request()?;
        let signed_at_secs = now_secs();
        let message = renew_message(identity.edge, signed_at_secs, &csr_der);
        let proof = identity.batch_key.sign(keys::RENEW, &message).to_vec();
        let request = RenewRequest { edge_id: identity.edge.get(), csr_der, signed_at_secs, proof };
        let asking = async {
            let channel = server_only(&identity.control_url, &identity.ca_der).await?;
            let answer = EdgeServiceClient::new(channel).renew(request).await;
            answer.map_err(|status| RenewError::Refused(Box::new(status)))
        };
        let answer = tokio::time::timeout(ANSWER_TIMEOUT, asking).await??.into_inner();
        if !usable(&answer.certificate_der, &key_pkcs8) {
            return Err(RenewError::Answer);
        }
        let tls = TlsIdentity {
            issued_at_secs: signed_at_secs,
            certificate_der: answer.certificate_der,
            key_pkcs8,
        };
        files::store_tls(&identity.dir, &tls)?;
        self.link.replace_tls(tls);
        tracing::info!("certificate renewed");
        Ok(())
    }
}

/// Also when the certificate seems to come from the future: then the clock was wrong before.
fn due(issued_at_secs: i64, now_secs: i64) -> bool {
    !(0..=RENEW_AFTER_SECS).contains(&now_secs.saturating_sub(issued_at_secs))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renews_daily_and_after_a_wrong_clock() {
        let day = RENEW_AFTER_SECS;
        for (age, expected) in [(0, false), (day, false), (day + 1, true), (40 * day, true), (-1, true)] {
            assert_eq!(due(1_000_000, 1_000_000 + age), expected, "{age}");
        }
    }
}

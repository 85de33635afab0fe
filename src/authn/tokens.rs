//! Access tokens: JWTs signed with Ed25519, each for one membership.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::actors::repository::SigningKey;
use crate::domain::{AccountId, Caller, ClinicId};

/// The maximum number of cached tokens.
const REMEMBERED: usize = 10_000;

/// The issuer and the audience of the tokens.
const ISSUER: &str = "clinicd";
const AUDIENCE: &str = "clinicd-api";
/// The kind of token, so that no other token of clinicd passes for an access token.
const TYPE: &str = "access";

/// The lifetimes of tokens.
#[derive(Debug, Clone, Copy)]
pub struct Lifetimes {
    /// The lifetime of an access token.
    pub access: TimeDelta,
    /// The lifetime of a refresh token. Each use starts a new one.
    pub refresh: TimeDelta,
}

/// The keys that sign and verify tokens, loaded from the database.
pub struct TokenKeys {
    signing: EncodingKey,
    header: Header,
    verifying: Vec<(String, DecodingKey)>,
    validation: Validation,
    /// Verified tokens, until they expire. Checking a signature costs more than everything else in a request.
    verified: RwLock<HashMap<String, Verified>>,
}

struct Verified {
    bearer: Bearer,
    /// Seconds since 1970. The token is invalid from then on.
    expires: i64,
}

/// The claims of a token. All are required.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: String,
    clinic: ClinicId,
    role: String,
    typ: String,
    jti: Uuid,
    iat: i64,
    nbf: i64,
    exp: i64,
}

/// The membership that a token is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bearer {
    /// The account.
    pub account: AccountId,
    /// The clinic.
    pub clinic: ClinicId,
    /// The role in the clinic when the token was issued.
    pub role: String,
}

impl TokenKeys {
    /// Generates a key pair, in case the database has none.
    ///
    /// # Errors
    /// Fails if the system provides no random bytes.
    pub fn generate() -> Result<SigningKey, aws_lc_rs::error::Unspecified> {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&aws_lc_rs::rand::SystemRandom::new())?;
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).map_err(|_| aws_lc_rs::error::Unspecified)?;
        Ok(SigningKey {
            kid: Uuid::now_v7().simple().to_string(),
            pkcs8: pkcs8.as_ref().to_vec(),
            public_key: pair.public_key().as_ref().to_vec(),
            is_wrapped: false,
        })
    }

    /// Signs with the first key and verifies with all keys. Returns `None` if there is no key.
    pub fn new(keys: &[SigningKey]) -> Option<Self> {
        let newest = keys.first()?;
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(newest.kid.clone());
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["exp", "nbf", "iss", "aud", "sub"]);
        validation.validate_nbf = true;
        validation.leeway = 0;
        let verifying = keys.iter().filter_map(|key| {
            let public = URL_SAFE_NO_PAD.encode(&key.public_key);
            Some((key.kid.clone(), DecodingKey::from_ed_components(&public).ok()?))
        });
        Some(Self {
            signing: EncodingKey::from_ed_der(&newest.pkcs8),
            header,
            verifying: verifying.collect(),
            validation,
            verified: RwLock::default(),
        })
    }

    /// Issues a token for the caller's membership.
    ///
    /// # Errors
    /// Fails if signing fails.
    pub fn issue(
        &self,
        caller: &Caller,
        now: DateTime<Utc>,
        lifetime: TimeDelta,
    ) -> Result<String, jsonwebtoken::errors::Error> {
        let claims = Claims {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: caller.account.to_string(),
            clinic: caller.clinic,
            role: caller.role.clone(),
            typ: TYPE.to_owned(),
            jti: Uuid::now_v7(),
            iat: now.timestamp(),
            nbf: now.timestamp(),
            exp: (now + lifetime).timestamp(),
        };
        jsonwebtoken::encode(&self.header, &claims, &self.signing)
    }

    /// Verifies a token and returns its membership. Returns `None` for every invalid token.
    pub fn verify(&self, token: &str, now: DateTime<Utc>) -> Option<Bearer> {
        let known = self.verified.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(verified) = known.get(token) {
            return (now.timestamp() < verified.expires).then(|| verified.bearer.clone());
        }
        drop(known);
        let verified = self.verify_signature(token)?;
        let bearer = verified.bearer.clone();
        let mut known = self.verified.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED {
            known.retain(|_, verified| now.timestamp() < verified.expires);
        }
        if known.len() < REMEMBERED {
            known.insert(token.to_owned(), verified);
        }
        Some(bearer)
    }

    /// Only the key id selects one of our keys. Everything else that a header says about keys is ignored.
    fn verify_signature(&self, token: &str) -> Option<Verified> {
        let kid = jsonwebtoken::decode_header(token).ok()?.kid?;
        let (_, key) = self.verifying.iter().find(|(known, _)| *known == kid)?;
        let claims = jsonwebtoken::decode::<Claims>(token, key, &self.validation).ok()?.claims;
        (claims.typ == TYPE).then_some(())?;
        let bearer = Bearer { account: AccountId(claims.sub.parse().ok()?), clinic: claims.clinic, role: claims.role };
        Some(Verified { bearer, expires: claims.exp })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn caller() -> Caller {
        Caller {
            clinic: ClinicId(3),
            account: AccountId(5),
            role: "staff".into(),
            doctor: None,
            request: Uuid::nil(),
            retry: None,
        }
    }

    fn keys() -> (TokenKeys, SigningKey) {
        let key = TokenKeys::generate().unwrap();
        (TokenKeys::new(std::slice::from_ref(&key)).unwrap(), key)
    }

    fn claims() -> Value {
        let now = crate::clock::now().timestamp();
        json!({
            "iss": ISSUER, "aud": AUDIENCE, "sub": "5", "clinic": 3, "role": "staff", "typ": "access",
            "jti": Uuid::now_v7(), "iat": now, "nbf": now, "exp": now + 60,
        })
    }

    fn sign(header: &Header, claims: &Value, key: &SigningKey) -> String {
        jsonwebtoken::encode(header, claims, &EncodingKey::from_ed_der(&key.pkcs8)).unwrap()
    }

    #[test]
    fn a_token_names_its_account_and_clinic() {
        let (keys, _) = keys();
        let token = keys.issue(&caller(), crate::clock::now(), TimeDelta::minutes(60)).unwrap();
        let bearer = Bearer { account: AccountId(5), clinic: ClinicId(3), role: "staff".into() };
        assert_eq!(keys.verify(&token, crate::clock::now()), Some(bearer));
    }

    #[test]
    fn a_cached_token_is_dropped_when_it_expires() {
        let (keys, _) = keys();
        let now = crate::clock::now();
        let token = keys.issue(&caller(), now, TimeDelta::minutes(60)).unwrap();
        assert!(keys.verify(&token, now).is_some());
        assert!(keys.verify(&token, now + TimeDelta::minutes(59)).is_some());
        assert_eq!(keys.verify(&token, now + TimeDelta::minutes(60)), None);
        let (head, tail) = token.split_at(token.len() - 20);
        let changed = format!("{head}{}", tail.replace(&tail[..1], if &tail[..1] == "A" { "B" } else { "A" }));
        assert_eq!(keys.verify(&changed, now), None, "only the identical token is cached");
    }

    #[test]
    fn every_claim_is_required() {
        let (keys, key) = keys();
        let header = keys.header.clone();
        assert!(keys.verify(&sign(&header, &claims(), &key), crate::clock::now()).is_some());
        for name in ["iss", "aud", "sub", "clinic", "role", "typ", "jti", "iat", "nbf", "exp"] {
            let mut without = claims();
            without.as_object_mut().unwrap().remove(name);
            assert_eq!(keys.verify(&sign(&header, &without, &key), crate::clock::now()), None, "without {name}");
        }
    }

    #[test]
    fn a_wrong_claim_is_refused() {
        let (keys, key) = keys();
        let now = crate::clock::now().timestamp();
        for (name, wrong) in [
            ("iss", json!("other")),
            ("aud", json!("other")),
            ("typ", json!("refresh")),
            ("exp", json!(now - 1)),
            ("nbf", json!(now + 60)),
            ("sub", json!("five")),
        ] {
            let mut claims = claims();
            claims[name] = wrong;
            assert_eq!(keys.verify(&sign(&keys.header, &claims, &key), crate::clock::now()), None, "{name}");
        }
    }

    #[test]
    fn only_our_keys_and_our_algorithm_verify() {
        let (keys, _) = keys();
        let stranger = TokenKeys::generate().unwrap();
        assert_eq!(
            keys.verify(&sign(&keys.header, &claims(), &stranger), crate::clock::now()),
            None,
            "another key under our kid"
        );
        let mut header = keys.header.clone();
        header.kid = None;
        assert_eq!(keys.verify(&sign(&header, &claims(), &stranger), crate::clock::now()), None, "no kid");
        let mut header = Header::new(Algorithm::HS256);
        header.kid = keys.header.kid.clone();
        let forged = jsonwebtoken::encode(&header, &claims(), &EncodingKey::from_secret(b"guess")).unwrap();
        assert_eq!(keys.verify(&forged, crate::clock::now()), None, "another algorithm");
        assert_eq!(keys.verify("not.a.token", crate::clock::now()), None);
    }
}

//! Who may send events.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use sha2::{Digest, Sha256};

use super::answer::Refusal;
use super::settings::Auth;

/// What lets a request in, as digests: comparing them takes the same time whatever is asked.
#[derive(Debug)]
pub(super) struct Guard {
    accepted: Vec<[u8; 32]>,
    /// How to ask.
    challenge: HeaderValue,
}

impl Guard {
    pub(super) fn new(auth: &Auth) -> Guard {
        let tokens = auth.tokens.iter().map(|token| digest(&[b"bearer", token.reveal().as_bytes()]));
        let users = auth
            .users
            .iter()
            .map(|(name, password)| digest(&[b"basic", name.as_bytes(), b":", password.reveal().as_bytes()]));
        let challenge = match (auth.tokens.is_empty(), auth.users.is_empty()) {
            (false, true) => "Bearer",
            (true, _) => "Basic realm=\"sump\", charset=\"UTF-8\"",
            (false, false) => "Bearer, Basic realm=\"sump\", charset=\"UTF-8\"",
        };
        Guard { accepted: tokens.chain(users).collect(), challenge: HeaderValue::from_static(challenge) }
    }

    /// Whether the request knows a secret.
    pub(super) fn check(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let mut known = false;
        if let Some(shown) = headers.get(header::AUTHORIZATION).and_then(|value| shown(value.as_bytes())) {
            for accepted in &self.accepted {
                known |= same(accepted, &shown);
            }
        }
        if known {
            return Ok(());
        }
        Err(Refusal::new(StatusCode::UNAUTHORIZED, "the credentials are missing or wrong")
            .with(header::WWW_AUTHENTICATE, self.challenge.clone()))
    }
}

/// The digest of what a request shows; none of what can't be right.
fn shown(value: &[u8]) -> Option<[u8; 32]> {
    let space = value.iter().position(|byte| *byte == b' ')?;
    let (scheme, credentials) = (&value[..space], value[space..].trim_ascii());
    if scheme.eq_ignore_ascii_case(b"bearer") {
        return Some(digest(&[b"bearer", credentials]));
    }
    if scheme.eq_ignore_ascii_case(b"basic") {
        return Some(digest(&[b"basic", &STANDARD.decode(credentials).ok()?]));
    }
    None
}

fn digest(parts: &[&[u8]]) -> [u8; 32] {
    let mut digest = Sha256::new();
    parts.iter().for_each(|part| digest.update(part));
    digest.finalize().into()
}

/// Looks at every byte, wherever they differ.
fn same(a: &[u8; 32], b: &[u8; 32]) -> bool {
    let differs = a.iter().zip(b).fold(0, |differs, (a, b)| std::hint::black_box(differs | (a ^ b)));
    differs == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Secret;

    fn check(guard: &Guard, authorization: Option<&str>) -> Result<(), Refusal> {
        let mut headers = HeaderMap::new();
        if let Some(authorization) = authorization {
            headers.insert(header::AUTHORIZATION, HeaderValue::from_str(authorization).unwrap());
        }
        guard.check(&headers)
    }

    #[test]
    fn whoever_knows_one_of_the_secrets_is_let_in() {
        let guard = Guard::new(&Auth {
            tokens: vec![Secret::new("one"), Secret::new("two")],
            users: [("ada".to_owned(), Secret::new("pass:word"))].into(),
        });
        let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
        for right in ["Bearer one", "bearer  two", &basic("ada:pass:word")] {
            assert!(check(&guard, Some(right)).is_ok(), "{right}");
        }
        let wrong = [
            "Bearer",
            "Bearer ",
            "Bearer three",
            "one",
            "Basic one",
            &basic("ada:"),
            &basic("bearerone"),
            "Digest one",
        ];
        for wrong in wrong {
            assert!(check(&guard, Some(wrong)).is_err(), "{wrong}");
        }
        let refused = check(&guard, None).unwrap_err().answer();
        let challenge = refused.headers().get(header::WWW_AUTHENTICATE).unwrap().to_str().unwrap();
        assert_eq!((refused.status().as_u16(), challenge), (401, "Bearer, Basic realm=\"sump\", charset=\"UTF-8\""));
    }

    #[test]
    fn no_scheme_stands_for_another() {
        let tokens = Guard::new(&Auth { tokens: vec![Secret::new("ada:x")], ..Auth::default() });
        assert!(check(&tokens, Some(&format!("Basic {}", STANDARD.encode("ada:x")))).is_err());
        let users = Guard::new(&Auth { users: [("ada".to_owned(), Secret::new("x"))].into(), ..Auth::default() });
        assert!(check(&users, Some("Bearer ada:x")).is_err());
    }
}

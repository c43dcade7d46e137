//! The person at the browser: the one place that knows who it is and what it may do. Until there is a
//! login, everyone who reaches the page may do everything, under the name that they give.

use axum::http::HeaderMap;
use axum::http::header::HeaderValue;
use meridian_domain::Actor;

use crate::guard::cookie;

/// Name of the cookie with the given name.
const NAME: &str = "meridian_name";
/// Actor of a person who gave no name.
const UNNAMED: &str = "portal";

/// A person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Client {
    /// The given name, unverified; `None` if none was given.
    pub(crate) name: Option<Actor>,
}

impl Client {
    /// Returns the person that sent a request.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let name = cookie(headers, NAME).map(|name| form_urlencoded::parse(name.as_bytes()));
        let name = name.and_then(|mut parts| parts.next()).map(|(name, _)| name.into_owned());
        Self { name: name.and_then(|name| Actor::new(name).ok()) }
    }

    /// Returns the actor of the person's changes.
    pub(crate) fn actor(&self) -> Actor {
        self.name.clone().unwrap_or_else(|| Actor::new(UNNAMED).expect("is a valid name"))
    }

    /// Returns the cookie that keeps the name.
    pub(crate) fn cookie(&self) -> Option<HeaderValue> {
        let name: String =
            form_urlencoded::byte_serialize(self.name.as_ref()?.as_str().as_bytes()).collect();
        let cookie = format!("{NAME}={name}; Path=/; Max-Age=31536000; HttpOnly; SameSite=Strict");
        HeaderValue::from_str(&cookie).ok()
    }
}

#[cfg(test)]
mod tests {
    use axum::http::header;

    use super::*;

    #[test]
    fn a_name_survives_its_cookie() {
        let ada =
            Client { name: Some(Actor::new("Ada L. <ada@example.net>; Ö").expect("is a name")) };
        let set = ada.cookie().expect("has a name");
        let pair = set.to_str().expect("is text").split(';').next().expect("has a pair").to_owned();
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, pair.parse().expect("is a value"));
        assert_eq!(Client::of(&headers), ada);
        assert_eq!(Client::of(&HeaderMap::new()).actor().as_str(), UNNAMED);
    }
}

//! Parameters of pages and forms.

use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::StatusCode;

use crate::guard;

/// Maximum bytes of a form.
const BODY_BYTES: usize = 64 << 10;

/// Names and values in order; a name may repeat.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Form(Vec<(String, String)>);

impl Form {
    /// Returns the parameters of a page.
    pub(crate) fn of_query(query: Option<&str>) -> Self {
        Self(form_urlencoded::parse(query.unwrap_or_default().as_bytes()).into_owned().collect())
    }

    /// Reads the body of a form whose token is that of the browser.
    ///
    /// # Errors
    /// A status and a message, if it is too long or has another token.
    pub(crate) async fn of_body(request: Request) -> Result<Self, (StatusCode, &'static str)> {
        let (parts, body) = request.into_parts();
        let body = to_bytes(body, BODY_BYTES).await;
        let body =
            body.map_err(|_| (StatusCode::PAYLOAD_TOO_LARGE, "the form is longer than 64 KiB\n"))?;
        let form = Self(form_urlencoded::parse(&body).into_owned().collect());
        if guard::has_token(&parts.headers, form.get(guard::TOKEN)) {
            return Ok(form);
        }
        Err((
            StatusCode::FORBIDDEN,
            "the form has expired: go back, reload the page and send it again\n",
        ))
    }

    /// Returns the value of a name, without surrounding spaces; empty if there is none.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.pairs().find(|pair| pair.0 == name).map_or("", |pair| pair.1.trim())
    }

    /// Returns all names and values.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

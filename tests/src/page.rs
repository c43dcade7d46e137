//! A browser without scripts: it opens pages, follows redirects, keeps cookies, and sends forms with the
//! fields that they have.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, ensure};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::header::{COOKIE, HOST, LOCATION, ORIGIN, SET_COOKIE};
use hyper::{HeaderMap, Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Timeout of a request: longer than a save waits for its outcome.
const TIMEOUT: Duration = Duration::from_secs(15);
/// Maximum number of redirects.
const REDIRECTS: usize = 3;

/// A browser that talks to one agent.
#[derive(Debug, Clone)]
pub struct Browser {
    address: SocketAddr,
    cookies: BTreeMap<String, String>,
}

/// A response.
#[derive(Debug, Clone)]
pub struct Page {
    /// Status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// Path and parameters of the address.
    pub address: String,
    /// Content.
    pub html: String,
}

/// A form of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Form {
    /// Address that it is sent to.
    pub action: String,
    /// True if it has an effect.
    pub is_post: bool,
    /// Names and values of the fields.
    pub fields: Vec<(String, String)>,
}

impl Browser {
    /// Opens no page yet.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        Self { address, cookies: BTreeMap::new() }
    }

    /// Opens a page.
    ///
    /// # Errors
    /// If there is no response.
    pub async fn open(&mut self, path: &str) -> anyhow::Result<Page> {
        self.follow(Method::GET, path, String::new()).await
    }

    /// Sends a form.
    ///
    /// # Errors
    /// If there is no response.
    pub async fn send(&mut self, form: &Form) -> anyhow::Result<Page> {
        let body =
            form_urlencoded::Serializer::new(String::new()).extend_pairs(&form.fields).finish();
        match form.is_post {
            true => self.follow(Method::POST, &form.action, body).await,
            false => self.open(&format!("{}?{body}", form.action)).await,
        }
    }

    async fn follow(&mut self, method: Method, path: &str, body: String) -> anyhow::Result<Page> {
        let host = self.address.to_string();
        let origin = format!("http://{host}");
        let mut page = self.request(method, path, &host, &origin, body).await?;
        for _ in 0..REDIRECTS {
            let Some(next) = page.headers.get(LOCATION) else { break };
            let next = next.to_str()?.to_owned();
            page = self.request(Method::GET, &next, &host, &origin, String::new()).await?;
        }
        Ok(page)
    }

    /// Sends one request, with headers as a page of `origin` would.
    ///
    /// # Errors
    /// If there is no response.
    pub async fn request(
        &mut self,
        method: Method,
        path: &str,
        host: &str,
        origin: &str,
        body: String,
    ) -> anyhow::Result<Page> {
        let cookies: Vec<_> =
            self.cookies.iter().map(|(name, it)| format!("{name}={it}")).collect();
        let request = Request::builder()
            .method(method.clone())
            .uri(path)
            .header(HOST, host)
            .header(COOKIE, cookies.join("; "))
            .header("content-type", "application/x-www-form-urlencoded");
        let request = if method == Method::POST { request.header(ORIGIN, origin) } else { request };
        let request = request.body(Full::new(Bytes::from(body)))?;
        let exchanged = timeout(TIMEOUT, exchange(self.address, request)).await;
        let (headers, status, html) =
            exchanged.with_context(|| format!("no response to {path}"))??;
        for cookie in headers.get_all(SET_COOKIE) {
            let pair = cookie.to_str()?.split(';').next().unwrap_or_default();
            let (name, value) = pair.split_once('=').context("a cookie without a value")?;
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
        Ok(Page { status, headers, address: path.to_owned(), html })
    }
}

async fn exchange(
    address: SocketAddr,
    request: Request<Full<Bytes>>,
) -> anyhow::Result<(HeaderMap, StatusCode, String)> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let response = sender.send_request(request).await?;
    let (parts, body) = response.into_parts();
    let body = body.collect().await?.to_bytes();
    connection.abort();
    Ok((parts.headers, parts.status, String::from_utf8(body.to_vec())?))
}

impl Page {
    /// Returns the text without tags, with single spaces.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        for part in self.html.split('<') {
            text.push_str(part.split_once('>').map_or(part, |(_, text)| text));
            text.push(' ');
        }
        unescaped(&text.split_whitespace().collect::<Vec<_>>().join(" "))
    }

    /// Returns the form with this action that has a field of that name.
    ///
    /// # Errors
    /// If there is none.
    pub fn form(&self, action: &str, field: &str) -> anyhow::Result<Form> {
        let mut forms = self.html.split("<form ").skip(1).filter_map(|form| {
            let form = form.split_once("</form>")?.0;
            let (head, content) = form.split_once('>')?;
            let fields: Vec<_> = content.split("<input ").skip(1).filter_map(input).collect();
            let is_post = attribute(head, "method")? == "post";
            Some(Form { action: attribute(head, "action")?, is_post, fields })
        });
        let wanted = |form: &Form| {
            let has_field = form.fields.iter().any(|(name, _)| name == field);
            form.action == action && has_field
        };
        forms.find(wanted).with_context(|| format!("no form {action} with {field}: {}", self.html))
    }

    /// Returns the address of the first link with this text.
    ///
    /// # Errors
    /// If there is none.
    pub fn link(&self, text: &str) -> anyhow::Result<String> {
        let mut links = self.html.split("<a ").skip(1).filter_map(|link| link.split_once('>'));
        let link = links.find(|(_, rest)| rest.split('<').next() == Some(text));
        let link = link.and_then(|(head, _)| attribute(head, "href"));
        link.with_context(|| format!("no link {text:?}: {}", self.html))
    }

    /// Fails unless the page has all of these texts.
    ///
    /// # Errors
    /// The first that it lacks.
    pub fn shows(&self, texts: &[&str]) -> anyhow::Result<()> {
        let own = self.text();
        for text in texts {
            ensure!(own.contains(text), "the page does not show {text:?}: {own}");
        }
        Ok(())
    }
}

impl Form {
    /// Returns the form with a value in a field.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.fields.retain(|field| field.0 != name);
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// Returns name and value of an input that is sent: of the choices, the checked one.
fn input(text: &str) -> Option<(String, String)> {
    let tag = text.split_once('>')?.0;
    let is_choice = attribute(tag, "type").is_some_and(|kind| kind == "radio");
    if is_choice && !tag.ends_with(" checked") {
        return None;
    }
    Some((attribute(tag, "name")?, attribute(tag, "value").unwrap_or_default()))
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let tag = format!(" {tag}");
    let value = tag.split_once(&format!(" {name}=\""))?.1.split_once('"')?.0;
    Some(unescaped(value))
}

fn unescaped(text: &str) -> String {
    let text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"");
    text.replace("&amp;", "&")
}

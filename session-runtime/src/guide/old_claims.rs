// What the examples of `from_jwt_extractor` take from the application that moves, and a client to try them with.

use std::sync::LazyLock;

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{FromRequestParts, Path},
    http::{Request, StatusCode, header::AUTHORIZATION, request::Parts},
    response::Response,
};
use jsonwebtoken::{DecodingKey, EncodingKey, Header, Validation, decode, encode, get_current_timestamp};
use session_runtime::*;
use tower::ServiceExt;

#[derive(serde::Serialize, serde::Deserialize)]
struct Claims {
    sub: String,
    role: Vec<String>,
    exp: u64,
}

#[derive(Clone, Copy)]
struct Role;

impl Claim for Role {
    const KEY: &'static str = "role";
    type Value = Vec<String>;
}

static KEY: LazyLock<DecodingKey> = LazyLock::new(|| DecodingKey::from_secret(b"of the old system"));

impl<S: Send + Sync> FromRequestParts<S> for Claims {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, StatusCode> {
        let header = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = header.and_then(|value| value.strip_prefix("Bearer ")).ok_or(StatusCode::UNAUTHORIZED)?;
        let token = decode(token, &KEY, &Validation::default()).map_err(|_| StatusCode::UNAUTHORIZED)?;
        Ok(token.claims)
    }
}

fn old_token(user: &str, role: &str) -> String {
    let claims = Claims { sub: user.into(), role: vec![role.into()], exp: get_current_timestamp() + 60 };
    encode(&Header::default(), &claims, &EncodingKey::from_secret(b"of the old system")).unwrap()
}

async fn send(app: &Router, method: &str, path: &str, token: &str) -> Response {
    let request = Request::builder().method(method).uri(path).header(AUTHORIZATION, format!("Bearer {token}"));
    app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
}

async fn text(response: Response) -> String {
    String::from_utf8(to_bytes(response.into_body(), 1 << 20).await.unwrap().to_vec()).unwrap()
}

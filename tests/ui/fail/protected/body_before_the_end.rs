use axum::{Json, extract::State};
use session_runtime::{Session, Sessions, protected};

#[protected(POST "/notes")]
#[axum::debug_handler(state = Sessions)]
async fn add_note(_: Session, Json(_): Json<String>, State(_): State<Sessions>) {}

fn main() {}

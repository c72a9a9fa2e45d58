//! Deliveries as CloudEvents, the body of the webhooks.

use serde::Serialize;

use super::digest;
use super::text::{MAX_NAME, bounded, clip, instant};
use super::{Attempt, SinkRequest, Unsendable};
use crate::alert::{ActionRequest, Delivery, Notification};
use crate::deliver::guard::Endpoint;
use crate::deliver::signature::{SigningKeys, signed_headers};

#[derive(Serialize)]
struct CloudEvent<T> {
    specversion: &'static str,
    id: String,
    source: &'static str,
    #[serde(rename = "type")]
    kind: String,
    subject: String,
    time: String,
    datacontenttype: &'static str,
    data: T,
}

/// A POST of the delivery as a CloudEvent, signed if there are keys.
pub(super) fn request(
    url: &Endpoint,
    keys: Option<&SigningKeys>,
    delivery: &Delivery,
    attempt: Attempt,
) -> Result<SinkRequest, Unsendable> {
    let body = match delivery {
        Delivery::Notification(notification) => alert(notification)?,
        Delivery::Action(request) => action(request)?,
        Delivery::Digest(digest) => {
            let data = digest::bounded(digest);
            let kind = "io.anchorwatch.alert.digest.v1".to_owned();
            event(&digest.key, kind, "digest".to_owned(), &instant(digest.to), &data)?
        }
    };
    let mut headers = vec![("content-type", "application/cloudevents+json".to_owned())];
    headers.extend(signed_headers(keys, delivery.key(), attempt.at, &body));
    Ok(SinkRequest { url: url.clone(), headers, body })
}

fn alert(notification: &Notification) -> Result<Vec<u8>, Unsendable> {
    let data = bounded(notification);
    let kind = format!("io.anchorwatch.alert.{}.v1", data.transition.as_str());
    event(
        &notification.key,
        kind,
        format!("{}/{}", data.model, data.version),
        &notification_time(&data),
        &data,
    )
}

fn action(request: &ActionRequest) -> Result<Vec<u8>, Unsendable> {
    let names = [("model", Some(&request.model)), ("version", Some(&request.version))];
    for (what, name) in names.into_iter().chain([("version to return to", request.to_version.as_ref())]) {
        if name.is_some_and(|name| name.len() > MAX_NAME) {
            return Err(Unsendable::TooLong { what, limit: MAX_NAME });
        }
    }
    let data = ActionRequest {
        key: clip(&request.key, 512),
        action: clip(&request.action, MAX_NAME),
        cause: bounded(&request.cause),
        ..request.clone()
    };
    let kind = format!("io.anchorwatch.action.{}.v1", data.kind.as_str());
    event(
        &request.key,
        kind,
        format!("{}/{}", data.model, data.version),
        &notification_time(&data.cause),
        &data,
    )
}

fn notification_time(notification: &Notification) -> String {
    instant(notification.at)
}

fn event<T: Serialize>(
    key: &str,
    kind: String,
    subject: String,
    time: &str,
    data: &T,
) -> Result<Vec<u8>, Unsendable> {
    let event = CloudEvent {
        specversion: "1.0",
        id: clip(key, 512),
        source: "/anchorwatch",
        kind,
        subject,
        time: time.to_owned(),
        datacontenttype: "application/json",
        data,
    };
    Ok(serde_json::to_vec(&event)?)
}

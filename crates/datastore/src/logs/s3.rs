//! A bucket of S3-compatible object storage.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use object_store::aws::{AmazonS3Builder, AwsAuthorizer, AwsCredential};
use object_store::client::{HttpConnector, HttpRequest, HttpRequestBody, ReqwestConnector};
use object_store::{ClientOptions, RetryConfig};

use super::objects::Objects;
use super::url::Bucket;
use crate::{Error, Result, Source};

/// Longest wait for a connection, and for an answer.
const CONNECT: Duration = Duration::from_secs(3);
const ANSWER: Duration = Duration::from_secs(20);
/// Tries within one operation, for what passes at once. Whoever called it tries again later.
const RETRIES: usize = 2;

/// Opens the bucket, and makes it if it is not there.
pub(super) async fn open(bucket: &Bucket) -> Result<Objects> {
    let retry = RetryConfig { max_retries: RETRIES, retry_timeout: CONNECT * 2, ..RetryConfig::default() };
    let s3 = AmazonS3Builder::new()
        .with_endpoint(&bucket.endpoint)
        .with_region(&bucket.region)
        .with_bucket_name(&bucket.name)
        .with_access_key_id(&bucket.access_key)
        .with_secret_access_key(&bucket.secret_key)
        .with_client_options(options())
        .with_retry(retry)
        .build()
        .map_err(|error| cannot(bucket, &error))?;
    let objects = Objects::new(Arc::new(s3));
    match objects.probe().await {
        Err(object_store::Error::NotFound { .. }) => create(bucket).await?,
        probed => return probed.map(|()| objects).map_err(|error| cannot(bucket, &error)),
    }
    objects.probe().await.map_err(|error| cannot(bucket, &error))?;
    Ok(objects)
}

fn options() -> ClientOptions {
    ClientOptions::new().with_allow_http(true).with_connect_timeout(CONNECT).with_timeout(ANSWER)
}

/// The one request that `object_store` has no word for.
async fn create(bucket: &Bucket) -> Result<()> {
    let answered = send_create(bucket).await;
    let why = match answered {
        Ok(status) if status.is_success() || status == http::StatusCode::CONFLICT => return Ok(()),
        Ok(status) => status.to_string(),
        Err(error) => one_line(&*error),
    };
    Err(Error::Config(format!(
        "could not create bucket and bucket does not exist, please check permissions: {bucket:?}: {why}"
    )))
}

async fn send_create(bucket: &Bucket) -> std::result::Result<http::StatusCode, Source> {
    let Bucket { access_key, secret_key, endpoint, region, name } = bucket;
    // The region that every other one has to be named beside.
    let body = if region == "us-east-1" {
        String::new()
    } else {
        format!(
            "<CreateBucketConfiguration><LocationConstraint>{region}</LocationConstraint></CreateBucketConfiguration>"
        )
    };
    let mut request = HttpRequest::new(HttpRequestBody::from(body));
    *request.method_mut() = Method::PUT;
    *request.uri_mut() = format!("{endpoint}/{name}").parse()?;
    let credential = AwsCredential { key_id: access_key.clone(), secret_key: secret_key.clone(), token: None };
    AwsAuthorizer::new(&credential, "s3", region).try_authorize(&mut request, None)?;
    let client = ReqwestConnector::default().connect(&options())?;
    Ok(client.execute(request).await?.status())
}

fn cannot(bucket: &Bucket, error: &dyn std::error::Error) -> Error {
    Error::Config(format!("cannot keep logs in {bucket:?}: {}", one_line(error)))
}

/// An error and its causes, without the XML and the line breaks that servers send.
fn one_line(error: &dyn std::error::Error) -> String {
    const ENOUGH: usize = 300;
    let text = error.to_string();
    let mut line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((end, _)) = line.char_indices().nth(ENOUGH) {
        line.truncate(end);
        line.push('…');
    }
    line
}

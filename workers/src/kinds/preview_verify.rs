//! Checks that the files of a preview are what its manifest says.

use futures::{StreamExt as _, TryStreamExt as _, stream};
use hivesync_proto::{
    manifest::BundleLimits,
    v1::{
        ErrorReason, FailureClass, JobPhase, JobProgress, PresignedRequest, PreviewVerifyResult,
        PreviewVerifyWork, VerifyFile,
    },
};
use reqwest::{Client, StatusCode};
use sha2::{Digest as _, Sha256};

use super::{JobContext, JobError};

/// Files that are read at a time.
const CONCURRENCY: usize = 4;

/// Reads each file and compares size and digest.
///
/// # Errors
/// If a file could not be read to its end for a reason that is not the file's.
pub async fn run(context: JobContext, work: PreviewVerifyWork) -> Result<PreviewVerifyResult, JobError> {
    if work.files.len() > BundleLimits::default().files_max {
        return Err(JobError::failed(
            FailureClass::NonRetryable,
            ErrorReason::InvalidRequest,
            "too many files",
        ));
    }
    let mut stop = context.stop.clone();
    tokio::select! {
        _ = stop.asked() => Err(JobError::Stopped),
        result = verify_all(&context, work.files) => result,
    }
}

async fn verify_all(context: &JobContext, files: Vec<VerifyFile>) -> Result<PreviewVerifyResult, JobError> {
    let total = files.len() as u64;
    let mut progress = JobProgress { phase: JobPhase::Verifying.into(), done: 0, total, bytes: 0 };
    context.progress.send(progress);
    let mut verdicts = stream::iter(files)
        .map(|file| async {
            let is_right = verify(&context.http, &file).await?;
            Ok::<_, JobError>((file, is_right))
        })
        .buffer_unordered(CONCURRENCY);
    let mut result = PreviewVerifyResult::default();
    while let Some((file, is_right)) = verdicts.try_next().await? {
        progress.done += 1;
        progress.bytes = progress.bytes.saturating_add(file.size);
        context.progress.send(progress);
        if is_right { &mut result.verified } else { &mut result.rejected }.push(file.sha256);
    }
    Ok(result)
}

async fn verify(http: &Client, file: &VerifyFile) -> Result<bool, JobError> {
    let request = file.download.as_ref().ok_or_else(malformed)?;
    let response = get(http, request)?.send().await.map_err(|error| interrupted(&error))?;
    match response.status() {
        status if status.is_success() => {}
        StatusCode::NOT_FOUND | StatusCode::GONE => return Ok(false),
        status => {
            let detail = format!("the store answered with status {}", status.as_u16());
            return Err(JobError::failed(FailureClass::AppError, ErrorReason::Unavailable, &detail));
        }
    }
    let mut hash = Sha256::new();
    let mut size: u64 = 0;
    let mut body = response.bytes_stream();
    while let Some(chunk) = body.try_next().await.map_err(|error| interrupted(&error))? {
        size = size.saturating_add(chunk.len() as u64);
        if size > file.size {
            return Ok(false);
        }
        hash.update(&chunk);
    }
    Ok(size == file.size && hash.finalize().as_slice() == file.sha256)
}

fn get(http: &Client, request: &PresignedRequest) -> Result<reqwest::RequestBuilder, JobError> {
    if request.method != "GET" {
        return Err(malformed());
    }
    let get = http.get(&request.url);
    Ok(request.headers.iter().fold(get, |get, header| get.header(&header.name, &header.value)))
}

fn malformed() -> JobError {
    JobError::failed(FailureClass::NonRetryable, ErrorReason::InvalidRequest, "a download is malformed")
}

/// The client's own words hold the address, which is a secret.
fn interrupted(error: &reqwest::Error) -> JobError {
    let detail = if error.is_timeout() {
        "a download took too long"
    } else if error.is_connect() {
        "the store cannot be reached"
    } else if error.is_builder() {
        return malformed();
    } else {
        "a download broke off"
    };
    JobError::failed(FailureClass::AppError, ErrorReason::Unavailable, detail)
}

//! Reading a request body on the server, so that a wrong field is named in the error.
//!
//! Fields we do not know are ignored: Neon's clients send some that mean nothing here.

use serde::de::DeserializeOwned;

/// The largest request body that is read, bytes.
pub const MAX_REQUEST_BODY: usize = 1024 * 1024;

/// The body is not what the route takes.
#[derive(Debug, thiserror::Error)]
#[error("the request body is wrong at `{field}`: {problem}")]
pub struct BodyError {
    /// The path to the field, such as `project.branch.name`; `.` is the body as a whole.
    pub field: String,
    /// What is wrong there.
    pub problem: String,
}

/// Reads a JSON request body. An empty body counts as `{}`.
///
/// # Errors
/// When it is not JSON, or a field has the wrong type or is missing; the error names the field.
pub fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, BodyError> {
    let body = if body.iter().all(u8::is_ascii_whitespace) { b"{}" } else { body };
    let mut json = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut json)
        .map_err(|error| BodyError { field: error.path().to_string(), problem: error.inner().to_string() })?;
    json.end().map_err(|error| BodyError { field: String::from("."), problem: error.to_string() })?;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::CreateProject;

    #[test]
    fn a_wrong_field_is_named() {
        let error = read::<CreateProject>(br#"{"project":{"branch":{"name":7}}}"#).unwrap_err();
        assert_eq!(error.field, "project.branch.name");
        assert!(error.to_string().contains("expected a string"), "{error}");
    }

    #[test]
    fn unknown_fields_and_defaults_are_fine() {
        let request: CreateProject = read(br#"{"project":{"region_id":"aws-x","name":"shop"}}"#).unwrap();
        assert_eq!(request.project.name.as_deref(), Some("shop"));
        assert_eq!(request.project.pg_version, None);
    }

    #[test]
    fn garbage_after_the_value_is_refused() {
        assert!(read::<CreateProject>(br#"{"project":{}} {}"#).is_err());
        assert!(read::<CreateProject>(b"not json").is_err());
        assert_eq!(read::<CreateProject>(b"").unwrap_err().field, ".");
    }
}

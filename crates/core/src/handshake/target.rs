//! The request target (RFC 9112, section 3.2): origin-form and absolute-form.

use std::borrow::Cow;

use super::HandshakeError;

/// A target in its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target<'a> {
    /// Path and query.
    pub(crate) path: Cow<'a, str>,
    /// The authority of an absolute-form.
    pub(crate) authority: Option<&'a str>,
}

/// Parses the target of a GET.
pub(crate) fn parse(target: &[u8]) -> Result<Target<'_>, HandshakeError> {
    // No controls, no spaces, no bytes above ASCII; a fragment is never sent.
    if target.is_empty() || !target.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'#') {
        return Err(HandshakeError::Target);
    }
    let target = std::str::from_utf8(target).map_err(|_| HandshakeError::Target)?;
    if target.starts_with('/') {
        return Ok(Target { path: target.into(), authority: None });
    }
    let rest = ["http://", "https://"]
        .iter()
        .find(|scheme| target.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)))
        .map(|scheme| &target[scheme.len()..])
        .ok_or(HandshakeError::Target)?;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    if !super::host::is_host(authority.as_bytes()) {
        return Err(HandshakeError::Target);
    }
    // An empty path means the root (RFC 9110, section 4.2.3), with a query behind it or without.
    let path = if path.starts_with('/') { path.into() } else { format!("/{path}").into() };
    Ok(Target { path, authority: Some(authority) })
}

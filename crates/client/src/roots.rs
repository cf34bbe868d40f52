//! The roots that the system trusts: read once, kept, and looked for again where there may be more.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use raddle_socket::rustls::pki_types::CertificateDer;
use rustix::io::Errno;
pub(crate) use rustls_native_certs::Error as Unread;
use rustls_native_certs::{CertificateResult, ErrorKind};

use crate::error::ConnectError;
use crate::tls_error::TlsError;

/// What is used again.
#[derive(Clone)]
pub(crate) struct Kept<T> {
    pub(crate) value: T,
    /// `None`: for good.
    pub(crate) until: Option<Instant>,
}

type Certificates = Arc<[CertificateDer<'static>]>;

/// The system's roots. They are read once, as there are hundreds; again after a while where that may find more. Where there are
/// none, that is not kept. What could not be read is added to `unread`.
pub(crate) fn system_roots(unread: &mut Vec<Unread>) -> Result<Kept<Certificates>, ConnectError> {
    static ROOTS: Mutex<Option<Kept<Certificates>>> = Mutex::new(None);
    kept(&ROOTS, |before| {
        let CertificateResult { certs, mut errors, .. } = rustls_native_certs::load_native_certs();
        let roots = roots_of(certs, &errors, before);
        unread.append(&mut errors);
        roots
    })
}

/// What is in `place`, or is made and kept there; what was there before is given to `make`, and stays where that fails. An error
/// is not kept.
pub(crate) fn kept<T: Clone, E>(
    place: &Mutex<Option<Kept<T>>>,
    make: impl FnOnce(Option<&T>) -> Result<Kept<T>, E>,
) -> Result<Kept<T>, E> {
    let mut place = place.lock();
    if let Some(kept) = &*place
        && kept.until.is_none_or(|until| until > Instant::now())
    {
        return Ok(kept.clone());
    }
    let made = make(place.as_ref().map(|kept| &kept.value));
    match (made, &mut *place) {
        (Err(_), Some(before)) => {
            before.until = Some(Instant::now() + AGAIN);
            Ok(before.clone())
        }
        (made, place) => Ok(place.insert(made?).clone()),
    }
}

/// What is to be used of what was found, where `before` was used until now.
fn roots_of(
    found: Vec<CertificateDer<'static>>,
    errors: &[Unread],
    before: Option<&Certificates>,
) -> Result<Kept<Certificates>, ConnectError> {
    let passing = errors.iter().find_map(passing);
    let until = passing.map(|_| Instant::now() + AGAIN);
    match (before, passing) {
        // Some that were found before may be among those that could not be read now.
        (Some(before), Some(_)) if before.len() >= found.len() => Ok(Kept { value: Arc::clone(before), until }),
        (_, Some(error)) if found.is_empty() => Err(ConnectError::Io(error.into())),
        _ if found.is_empty() => Err(ConnectError::Tls(TlsError::NoRoots)),
        _ => Ok(Kept { value: found.into(), until }),
    }
}

/// Why something could not be read that may be readable soon: what is malformed, or not for this user, stays so.
fn passing(error: &Unread) -> Option<Errno> {
    let ErrorKind::Io { inner, .. } = &error.kind else { return None };
    inner.raw_os_error().map(Errno::from_raw_os_error).filter(|error| PASSING.contains(error))
}

/// What was made of the roots that could be read holds for so long, where some could not.
pub(crate) const AGAIN: Duration = Duration::from_secs(60);

/// Descriptors or memory have run out.
const PASSING: [Errno; 3] = [Errno::MFILE, Errno::NFILE, Errno::NOMEM];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_made_stays_where_it_cannot_be_made_anew() {
        let over = Some(Instant::now());
        let place = Mutex::new(Some(Kept { value: 1, until: over }));
        let again = kept(&place, |before| {
            assert_eq!(before, Some(&1));
            Err::<Kept<u8>, _>(())
        });
        assert_eq!(again.map(|kept| kept.value), Ok(1));
        // For a while: it is not tried each time.
        assert_eq!(kept::<_, ()>(&place, |_| panic!("it is kept")).map(|kept| kept.value), Ok(1));
        *place.lock() = Some(Kept { value: 1, until: over });
        assert_eq!(kept::<_, ()>(&place, |_| Ok(Kept { value: 2, until: None })).map(|kept| kept.value), Ok(2));
        assert!(kept(&Mutex::new(None::<Kept<u8>>), |_| Err(())).is_err());
    }

    #[test]
    fn roots_are_not_given_up_for_want_of_descriptors_which_passes() {
        let error = |errno: Errno| Unread {
            context: "opening",
            kind: ErrorKind::Io { inner: errno.into(), path: "/certificates".into() },
        };
        let root = |byte| CertificateDer::from(vec![byte]);
        let two: Certificates = [root(1), root(2)].into();
        // Fewer than before, or none: those of before.
        for found in [vec![], vec![root(1)]] {
            let roots = roots_of(found, &[error(Errno::MFILE)], Some(&two)).expect("there were some");
            assert!(roots.value == two && roots.until.is_some());
        }
        // None ever: another attempt is worth it.
        let none = roots_of(vec![], &[error(Errno::ACCESS), error(Errno::NFILE)], None);
        assert!(none.is_err_and(|error| error.may_pass()));
        let none = roots_of(vec![], &[error(Errno::ACCESS)], None);
        assert!(none.is_err_and(|error| matches!(error, ConnectError::Tls(TlsError::NoRoots))));
        // What cannot be read for another reason is not read again and again.
        let some = roots_of(vec![root(1)], &[error(Errno::ACCESS)], None).expect("there is one");
        assert!(some.until.is_none());
    }
}

//! Whose certificate is taken, on either side, and what is said of the others.

use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use raddle::{Acceptance, Client, ClientCertificates, ClientTls, ConnectError, Refusal, TlsError};
use rustls::AlertDescription;

use crate::authority::{Authority, Issued, expired, named, self_signed, to_come};
use crate::raw::config;
use crate::support::*;

/// What a client that trusts `authority` says of a server with this certificate. It must have heard of no request.
fn verdict(authority: &Authority, issued: &Issued, host: &str) -> Result<(), TlsError> {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let echo = Echo::start_with(Engine::Threads, &tls(issued), |builder| {
        builder.on_request(move |request| {
            counted.fetch_add(1, Ordering::Relaxed);
            request.accept().expect("it is in order");
        })
    });
    // Under a name that this machine does not look up.
    let (tls, host) = match host.strip_suffix(".example.com") {
        Some(_) => (trusting(authority).server_name(host).expect("a name"), "127.0.0.1"),
        None => (trusting(authority), host),
    };
    let connected = Client::new().tls(tls).connect(&echo.url(host));
    match connected {
        Ok(mut connection) => {
            super::support::echo(&mut connection, "Hello");
            Ok(())
        }
        Err(ConnectError::Tls(error)) => {
            assert_eq!(asked.load(Ordering::Relaxed), 0, "something of the request was sent");
            Err(error)
        }
        Err(error) => panic!("{error:?}"),
    }
}

#[test]
fn a_client_says_what_is_wrong_with_a_certificate_and_sends_nothing() {
    // Hostile input 342.
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let namesake = Authority::of_another_kind("ours");
    let local = ["localhost", "127.0.0.1"];
    let wrong = Err(TlsError::WrongName);
    for (what, issued, host, expected) in [
        ("in order", ours.issue(&local), "localhost", Ok(())),
        ("in order, by address", ours.issue(&local), "127.0.0.1", Ok(())),
        ("expired", ours.issue_with(&local, expired), "localhost", Err(TlsError::Expired)),
        ("not yet valid", ours.issue_with(&local, to_come), "localhost", Err(TlsError::NotYetValid)),
        ("self-signed", self_signed(&local), "localhost", Err(TlsError::SelfSigned)),
        ("self-signed, to sign others", other.of_its_own(), "localhost", Err(TlsError::SelfSigned)),
        ("of another authority", other.issue(&local), "localhost", Err(TlsError::UnknownIssuer)),
        ("of a namesake", namesake.issue(&local), "localhost", Err(TlsError::UnknownIssuer)),
        ("of a namesake, self-signed", namesake.of_its_own(), "localhost", Err(TlsError::SelfSigned)),
        ("for another name", ours.issue(&["example.com"]), "localhost", wrong.clone()),
        ("for another address", ours.issue(&["localhost", "127.0.0.2"]), "127.0.0.1", wrong.clone()),
        ("with the address as a name's text", ours.issue(&["localhost"]), "127.0.0.1", wrong.clone()),
        ("named by its subject only", ours.issue_with(&[], named("localhost")), "localhost", wrong.clone()),
        ("for all names below", ours.issue(&["*.localhost"]), "localhost", wrong.clone()),
        ("for all names one below", ours.issue(&["*.example.com"]), "a.example.com", Ok(())),
        ("for all names one below", ours.issue(&["*.example.com"]), "b.a.example.com", wrong.clone()),
    ] {
        assert_eq!(verdict(&ours, &issued, host), expected, "{what}, for {host}");
    }
}

#[test]
fn a_signature_that_is_not_safe_is_none() {
    // Hostile input 342: with SHA-1, of a root that is trusted.
    let (issued, root) = WEAK.split_at(WEAK.rfind("-----BEGIN CERTIFICATE").expect("the root is the last"));
    let key = issued.find("-----BEGIN PRIVATE KEY").expect("the key is behind the certificate");
    let issued = Issued { chain: issued[..key].to_owned(), key: issued[key..].to_owned() };
    let echo = Echo::start(Engine::Threads, &tls(&issued));
    let trusting = ClientTls::new().without_system_roots().add_roots_pem(root).expect("it is a root");
    let said = Client::new().tls(trusting).connect(&echo.url("localhost")).map(drop);
    let Err(ConnectError::Tls(error @ TlsError::BadCertificate(_))) = said else { panic!("{said:?}") };
    assert!(error.to_string().contains("signature"), "{error}");
}

const WEAK: &str = include_str!("weak.pem");

#[test]
fn what_does_not_pass_is_final_for_a_client_that_reconnects_and_each_refusal_has_its_own_words() {
    let passing = [
        TlsError::Expired,
        TlsError::NotYetValid,
        TlsError::Alert(AlertDescription::InternalError),
        TlsError::Alert(AlertDescription::UnrecognisedName),
    ];
    let errors = [
        TlsError::Settings("…".into()),
        TlsError::NoRoots,
        TlsError::WrongName,
        TlsError::SelfSigned,
        TlsError::UnknownIssuer,
        TlsError::Revoked,
        TlsError::CertificateRequired,
        TlsError::CertificateRefused(AlertDescription::CertificateExpired),
        TlsError::NothingInCommon,
        TlsError::NotTls,
    ];
    let mut said: Vec<String> = errors.iter().chain(&passing).map(TlsError::to_string).collect();
    assert!(errors.into_iter().all(|error| !ConnectError::Tls(error).may_pass()));
    assert!(passing.into_iter().all(|error| ConnectError::Tls(error).may_pass()));
    said.sort_unstable();
    said.dedup();
    assert_eq!(said.len(), 14);
}

#[test]
fn a_server_is_asked_for_by_its_name_and_never_by_its_address() {
    // Hostile input 343.
    let authority = Authority::new("ours");
    let issued = authority.issue(&["localhost", "127.0.0.1", "::1", "xn--bcher-kva.localhost"]);
    // By way of a Unix socket, so that no name has to be known to this machine.
    let path = std::env::temp_dir().join(format!("raddle-tls-names-{}", std::process::id()));
    let listener = UnixListener::bind(&path).expect("a socket");
    let config = server_config(&issued);
    let asked = |url: &str, name: Option<&str>| {
        let mut tls = trusting(&authority);
        if let Some(name) = name {
            tls = tls.server_name(name).expect("a name");
        }
        let (client, url) = (Client::new().tls(tls).unix(&path), url.to_owned());
        let connecting = thread::spawn(move || client.connect(&url).map(drop));
        let (mut stream, _) = listener.accept().expect("it connects");
        stream.set_read_timeout(Some(LIMIT)).expect("a socket");
        let mut acceptor = rustls::server::Acceptor::default();
        let accepted = loop {
            acceptor.read_tls(&mut stream).expect("a ClientHello");
            if let Some(accepted) = acceptor.accept().expect("it is in order") {
                break accepted;
            }
        };
        let name = accepted.client_hello().server_name().map(str::to_owned);
        let mut tls = accepted.into_connection(Arc::clone(&config)).expect("a server");
        // It has to get as far as its request: the certificate was taken.
        while tls.process_new_packets().expect("it is in order").plaintext_bytes_to_read() == 0 {
            if tls.wants_write() {
                tls.write_tls(&mut stream).expect("it reads");
            } else if tls.read_tls(&mut stream).expect("it goes on") == 0 {
                break;
            }
        }
        drop(stream);
        let said = join(connecting).expect_err("nobody answers");
        assert!(matches!(said, ConnectError::EndOfStream | ConnectError::Io(_)), "{said:?}");
        name
    };
    assert_eq!(asked("wss://127.0.0.1/", None), None);
    assert_eq!(asked("wss://localhost/", None).as_deref(), Some("localhost"));
    assert_eq!(asked("wss://localhost./", None).as_deref(), Some("localhost"));
    assert_eq!(asked("wss://LocalHost/", None).as_deref(), Some("localhost"));
    let idn = "xn--bcher-kva.localhost";
    assert_eq!(asked(&format!("wss://{idn}/"), None).as_deref(), Some(idn));
    assert_eq!(asked("wss://127.0.0.1/", Some(idn)).as_deref(), Some(idn));
    assert_eq!(asked("wss://localhost/", Some("::1")), None);
    assert_eq!(asked("wss://[::1]/", None), None);
    std::fs::remove_file(&path).expect("it is there");
    // As for any URL: in its own letters, the name is refused before anything else.
    assert!(matches!(Client::new().connect("wss://bücher.localhost/"), Err(ConnectError::Url(_))));
}

pub(crate) fn server_config(issued: &Issued) -> Arc<rustls::ServerConfig> {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let chain = vec![CertificateDer::from_pem_slice(issued.chain.as_bytes()).expect("PEM")];
    let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).expect("PEM");
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has them")
        .with_no_client_auth()
        .with_single_cert(chain, key);
    Arc::new(config.expect("the key is the certificate's"))
}

#[test]
fn any_certificate_is_taken_only_where_that_was_said_in_so_many_words() {
    // Hostile input 344: nothing else makes a verifier that takes any, and no default does.
    let sources = [include_str!("../../../client/src/tls.rs"), include_str!("../../../client/src/client.rs")].concat();
    assert_eq!(sources.matches("of_anybody(").count(), 1);
    assert_eq!(sources.matches("verifies = false").count(), 1);
    let name = sources.find("pub fn dangerous_accept_any_certificate").expect("it has that name");
    assert!(sources[name..].find("verifies = false").expect("it is said there") < 200);

    let echo_server = Echo::start(Engine::Threads, &tls(&self_signed(&["example.com"])));
    let careless = Client::new().tls(ClientTls::new().dangerous_accept_any_certificate());
    echo(&mut careless.connect(&echo_server.url("localhost")).expect("it takes any"), "Hello");
    // With the defaults, whatever roots this machine has.
    let said = Client::new().connect(&echo_server.url("localhost")).map(drop);
    assert!(matches!(said, Err(ConnectError::Tls(TlsError::SelfSigned | TlsError::NoRoots))), "{said:?}");
    let none = Client::new().tls(ClientTls::new().without_system_roots());
    let said = none.connect(&echo_server.url("localhost")).map(drop);
    assert!(matches!(said, Err(ConnectError::Tls(TlsError::NoRoots))), "{said:?}");
}

#[test]
fn a_client_certificate_says_who_the_client_is() {
    // Hostile input 345.
    let (ours, clients, other) = (Authority::new("ours"), Authority::new("clients"), Authority::new("other"));
    let with = |issued: &Issued| {
        let tls = trusting(&ours).certificate_pem(&issued.chain, &issued.key).expect("they belong together");
        Client::new().tls(tls)
    };
    let good = clients.issue_with(&["ada.example"], named("Ada"));
    let late = clients.issue_with(&[], expired);
    let strange = other.issue_with(&[], named("Ada"));
    for engine in ENGINES {
        for required in [ClientCertificates::Required, ClientCertificates::Optional] {
            let tls =
                builder(&ours.local()).client_certificate_pem(required, clients.root()).build().expect("in order");
            let echo_server = Echo::start_with(engine, &tls, |builder| {
                builder.on_request(|request| {
                    let shown = request.client_certificate();
                    let name = shown.map_or("nobody", |it| it.common_name().expect("it has one")).to_owned();
                    if let Some(shown) = shown {
                        assert_eq!(shown.dns_names(), ["ada.example"]);
                        assert!(shown.der().len() > shown.subject().len() && !shown.subject().is_empty());
                    }
                    request.accept_with(Acceptance::new().identity(name)).expect("it is in order");
                })
            });
            let url = echo_server.url("localhost");
            let mut connection = with(&good).connect(&url).expect("it is Ada");
            echo(&mut connection, "Hello");
            assert_eq!(echo_server.server.connections_of("Ada").len(), 1);
            let refused = |said: Result<raddle::Connection, ConnectError>| match said {
                Err(ConnectError::Tls(error)) => error,
                said => panic!("{required:?}: {said:?}"),
            };
            for wrong in [&late, &strange] {
                let error = refused(with(wrong).connect(&url));
                assert!(matches!(error, TlsError::CertificateRefused(_)), "{error:?}");
            }
            let nobody = client(&ours).connect(&url);
            if required == ClientCertificates::Required {
                assert_eq!(refused(nobody), TlsError::CertificateRequired);
                let refusals = || echo_server.server.metrics().refused.get(&Refusal::Tls).copied();
                eventually("all are counted", || refusals() == Some(3));
            } else {
                echo(&mut nobody.expect("it needs none"), "Hello");
            }
        }
    }
}

#[test]
fn a_server_shows_the_certificate_for_the_name_that_is_asked_for_and_else_its_first() {
    // Hostile input 339, for a name that nobody knows.
    let authority = Authority::new("ours");
    let (one, two) = (authority.issue(&["one.example"]), authority.issue(&["*.two.example"]));
    let tls = builder(&one).certificate_pem(two.chain.as_str(), two.key.as_str()).build().expect("in order");
    let echo_server = Echo::start(Engine::Threads, &tls);
    for (name, taken) in [
        ("one.example", Ok(())),
        ("a.two.example", Ok(())),
        ("two.example", Err("one.example")),
        ("three.example", Err("one.example")),
    ] {
        let mut raw = super::raw::Raw::new(echo_server.address, config(&authority, |_| ()), name);
        match (raw.shake_hands(), taken) {
            (Ok(()), Ok(())) => {}
            (Err(error), Err(shown)) => assert!(error.to_string().contains(shown), "{name}: {error}"),
            (said, _) => panic!("{name}: {said:?}"),
        }
    }
}

#[test]
fn settings_that_cannot_work_are_refused_with_words() {
    let authority = Authority::new("ours");
    let (one, other) = (authority.local(), authority.local());
    let said = |built: std::io::Result<raddle::ServerTls>| built.expect_err("it cannot work").to_string();
    use raddle::ServerTls;
    assert!(said(ServerTls::builder().build()).contains("needs a certificate"));
    assert!(said(ServerTls::from_pem("", one.key.as_str())).contains("no certificate"));
    assert!(said(ServerTls::from_pem(one.chain.as_str(), "")).contains("no private key"));
    assert!(said(ServerTls::from_pem(one.chain.as_str(), other.key.as_str())).contains("keys may not be consistent"));
    assert!(said(ServerTls::from_files("/nonexistent.pem", "/nonexistent.key")).starts_with("/nonexistent.pem: "));
    let said = |tls: Result<ClientTls, TlsError>| tls.expect_err("it cannot work").to_string();
    assert!(said(ClientTls::new().add_roots_pem("")).contains("no certificate"));
    assert!(said(ClientTls::new().certificate_pem(&one.chain, "")).contains("no private key"));
    assert!(said(ClientTls::new().server_name("two words")).contains("no server's name"));
    let tls = ClientTls::new().certificate_pem(&one.chain, &other.key).expect("it is seen when both are used");
    let said = Client::new().tls(tls).connect("wss://localhost:1/").map(drop);
    assert!(matches!(said, Err(ConnectError::Tls(TlsError::Settings(_) | TlsError::NoRoots))), "{said:?}");
}

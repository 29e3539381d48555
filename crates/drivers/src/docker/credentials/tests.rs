use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;

fn parse(text: &str) -> Credentials {
    Credentials::parse(text.as_bytes()).unwrap()
}

async fn user_of(credentials: &Credentials, registry: &str) -> Option<String> {
    credentials.of(registry).await.and_then(|found| found.username)
}

fn auth(user: &str, password: &str) -> String {
    STANDARD.encode(format!("{user}:{password}"))
}

#[tokio::test]
async fn both_forms_are_read_and_registries_match_exactly() {
    let entries = format!(
        r#"{{"https://index.docker.io/v1/":{{"auth":"{}"}},"quay.io":{{"auth":"{}"}},"http://local:5000/v2":{{"username":"l","password":"p"}}}}"#,
        auth("hub", "s3cret"),
        auth("quay", "with:colon"),
    );
    for text in [entries.clone(), format!(r#"{{"auths":{entries},"HttpHeaders":{{}}}}"#)] {
        let credentials = parse(&text);
        let hub = credentials.of(HUB).await.unwrap();
        assert_eq!(hub.username.as_deref(), Some("hub"));
        assert_eq!(hub.serveraddress.as_deref(), Some(HUB_SERVER));
        let quay = credentials.of("quay.io").await.unwrap();
        assert_eq!(quay.password.as_deref(), Some("with:colon"));
        assert_eq!(user_of(&credentials, "local:5000").await.as_deref(), Some("l"));
        for other in ["evil-quay.io", "io", "a.quay.io", "local", "local:50001", ""] {
            assert!(credentials.of(other).await.is_none(), "{other}");
        }
        let shown = format!("{credentials:?}");
        assert!(shown.contains("quay.io") && !shown.contains("s3cret") && !shown.contains("colon"));
    }
}

#[tokio::test]
async fn docker_hub_is_found_under_each_of_its_names() {
    for name in HUB_NAMES.iter().map(|name| (*name).to_owned()).chain([HUB_SERVER.to_owned()]) {
        let credentials = parse(&format!(r#"{{"{name}":{{"auth":"{}"}}}}"#, auth("u", "p")));
        assert_eq!(user_of(&credentials, HUB).await.as_deref(), Some("u"), "{name}");
    }
}

#[tokio::test]
async fn tokens_are_credentials_and_empty_entries_are_not() {
    let credentials = parse(r#"{"auths":{"a.io":{"identitytoken":"t"},"b.io":{"registrytoken":"r"},"c.io":{}}}"#);
    assert_eq!(credentials.of("a.io").await.unwrap().identitytoken.as_deref(), Some("t"));
    assert_eq!(credentials.of("b.io").await.unwrap().registrytoken.as_deref(), Some("r"));
    assert!(credentials.of("c.io").await.is_none());
    assert!(parse("{}").of("a.io").await.is_none());
}

#[test]
fn what_cannot_be_read_is_told_without_its_content() {
    let secret = STANDARD.encode("no-colon-s3cret");
    let texts = [
        "not json s3cret".to_owned(),
        format!(r#"{{"auths":{{"a.io":{{"auth":"{secret}"}}}}}}"#),
        r#"{"auths":{"a.io":{"auth":5,"password":"s3cret"}}}"#.to_owned(),
        r#"{"credsStore":"../s3cret"}"#.to_owned(),
        r#"{"credHelpers":{"a.io":"x y s3cret"}}"#.to_owned(),
    ];
    for text in texts {
        let error = Credentials::parse(text.as_bytes()).unwrap_err();
        assert!(!error.contains("s3cret") && !error.contains(&secret), "{error}");
    }
}

#[tokio::test]
async fn the_first_source_there_is_counts() {
    let dir = tempfile::tempdir().unwrap();
    let write = |path: &str, user: &str| {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!(r#"{{"auths":{{"r.io":{{"auth":"{}"}}}}}}"#, auth(user, "p"))).unwrap();
    };
    let mut sources = CredentialSources {
        docker_auth: None,
        docker_config: Some(dir.path().join("cfg")),
        home: Some(dir.path().join("home")),
    };
    let load = async |sources: &CredentialSources| user_of(&Credentials::load(sources).await.unwrap(), "r.io").await;
    assert_eq!(load(&sources).await, None);
    write("home/.dockercfg", "oldest");
    assert_eq!(load(&sources).await.as_deref(), Some("oldest"));
    write("home/.docker/config.json", "home");
    assert_eq!(load(&sources).await.as_deref(), Some("home"));
    write("cfg/config.json", "configured");
    assert_eq!(load(&sources).await.as_deref(), Some("configured"));
    sources.docker_auth = Some(format!(r#"{{"r.io":{{"auth":"{}"}}}}"#, auth("env", "p")));
    assert_eq!(load(&sources).await.as_deref(), Some("env"));
    assert!(!format!("{sources:?}").contains("auth\":"));

    sources.docker_auth = Some("{".to_owned());
    let error = Credentials::load(&sources).await.unwrap_err().to_string();
    assert!(error.starts_with("bad setting DOCKER_AUTH: "), "{error}");
    sources.docker_auth = None;
    fs::write(dir.path().join("cfg/config.json"), "[]").unwrap();
    let error = Credentials::load(&sources).await.unwrap_err().to_string();
    assert!(error.starts_with("bad setting DOCKER_CONFIG: ") && error.contains("config.json"), "{error}");
}

/// Writes a helper that runs `script`.
fn helper(dir: &Path, name: &str, script: &str) -> PathBuf {
    let path = dir.join(format!("docker-credential-{name}"));
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[tokio::test]
async fn helpers_give_users_tokens_or_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let ask = async |name: &str, script: &str| {
        let program = helper(dir.path(), name, script);
        helper::ask_program(program.as_os_str(), "https://index.docker.io/v1/").await
    };
    let script = r#"read -r server; echo "{\"ServerURL\":\"$server\",\"Username\":\"$1 $server\",\"Secret\":\"s\"}""#;
    let found = ask("user", script).await.unwrap().unwrap();
    assert_eq!(found.username.as_deref(), Some("get https://index.docker.io/v1/"));
    assert_eq!(found.password.as_deref(), Some("s"));
    let token = ask("token", r#"echo '{"Username":"<token>","Secret":"t"}'"#).await.unwrap().unwrap();
    assert_eq!((token.identitytoken.as_deref(), token.username), (Some("t"), None));
    let nothing = ask("none", "echo credentials not found in native keychain; exit 1").await;
    assert!(nothing.unwrap().is_none());
    let failed = ask("fails", "echo s3cret; exit 3").await.unwrap_err();
    assert!(!failed.to_string().contains("s3cret"), "{failed}");
    let babble = ask("babbles", "echo s3cret").await.unwrap_err();
    assert_eq!(babble.to_string(), "its answer could not be read");
}

#[tokio::test]
async fn a_missing_helper_leaves_what_the_file_has() {
    let text =
        format!(r#"{{"auths":{{"r.io":{{"auth":"{}"}}}},"credsStore":"hearth-test-missing"}}"#, auth("file", "p"));
    assert_eq!(user_of(&parse(&text), "r.io").await.as_deref(), Some("file"));
    let error = helper::ask("hearth-test-missing", "r.io").await.unwrap_err();
    assert_eq!(error.to_string(), "it could not be run");
}

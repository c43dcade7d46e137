//! Commands that send no request, and names that other command lines use.

use crate::fake::Agent;
use crate::run::run;

#[tokio::test]
async fn aliases_and_plurals_name_the_same_commands() {
    let agent = Agent::start([]).await;
    for line in ["services ls", "svc list", "regions ls", "apis ls", "units ls", "units list"] {
        let words: Vec<&str> = line.split(' ').collect();
        run(&agent.endpoints(), &words).await.exits(0);
    }
    for line in ["region rm eastus", "regions delete eastus", "api rm orders", "service rm contoso"]
    {
        let words: Vec<&str> = line.split(' ').chain(["--yes"]).collect();
        run(&agent.endpoints(), &words).await.exits(0);
    }
}

#[tokio::test]
async fn the_version_is_a_command_and_an_option() {
    for line in [&["version"][..], &["--version"], &["-V"]] {
        let run = run(&[], line).await;
        run.exits(0);
        assert_eq!(run.out, format!("meridian {}\n", env!("CARGO_PKG_VERSION")));
    }
}

#[tokio::test]
async fn unknown_commands_get_a_suggestion_if_there_is_one() {
    for (line, text) in [
        ("login", "next: there is no login: name an agent with --endpoint"),
        ("get regions", "next: use `list` or `show`"),
        ("reigon list", "did you mean `meridian region`?"),
        ("frobnicate", "next: see `meridian --help`"),
        ("region list --watch", "has no option --watch\nnext: see `meridian region list --help`"),
    ] {
        let words: Vec<&str> = line.split(' ').collect();
        let run = run(&[], &words).await;
        run.exits(2);
        assert!(run.err.contains(text), "{run:?}");
    }
}

#[tokio::test]
async fn completion_and_man_pages_are_generated() {
    let bash = run(&[], &["completion", "bash"]).await;
    bash.exits(0);
    assert!(bash.out.contains("_meridian()"), "{bash:?}");
    let directory = tempfile::tempdir().expect("a temporary directory can be created");
    let path = directory.path().join("man");
    run(&[], &["man", path.to_str().expect("is text")]).await.exits(0);
    assert!(path.join("meridian-region-set.1").exists());
    run(&[], &["man", "/dev/null/man"]).await.exits(1);
}

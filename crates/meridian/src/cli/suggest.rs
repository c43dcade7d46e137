//! Suggestions for unknown commands and options: the closest name, or the equivalent of a word that
//! other command lines use. A word that resembles nothing gets no suggestion.

use clap::Command;

/// Cause and next step for an unknown subcommand `word` of the command `parent`.
pub(super) fn for_command(root: &Command, parent: &str, word: &str) -> (String, String) {
    let cause = format!("unknown command `{parent} {word}`");
    if let Some(advice) = advice(parent, word) {
        return (cause, advice.to_owned());
    }
    let known = find(root, parent).map(names).unwrap_or_default();
    if let Some(meant) = closest(word, known.iter().map(String::as_str)) {
        return (format!("{cause}; did you mean `{parent} {meant}`?"), see_help(parent));
    }
    let elsewhere = commands_named(root, word);
    if elsewhere.is_empty() {
        return (cause, see_help(parent));
    }
    (cause, format!("use {}", elsewhere.join(" or ")))
}

/// Cause and next step for an option that the command does not have.
pub(super) fn for_option(root: &Command, named: &str, option: &str) -> (String, String) {
    let option = option.split('=').next().unwrap_or(option);
    let cause = format!("`{named}` has no option {option}");
    let known: Vec<String> = find(root, named).map(options).unwrap_or_default();
    let has = |name: &str| known.iter().any(|known| known == name);
    let equivalent = FOREIGN_OPTIONS.iter().find(|(foreign, own)| *foreign == option && has(own));
    let meant = equivalent.map(|(_, own)| *own).or_else(|| {
        let name = option.strip_prefix("--")?;
        closest(name, known.iter().filter_map(|known| known.strip_prefix("--")))
    });
    let next = see_help(named);
    match meant {
        Some(meant) if meant.starts_with('-') => (format!("{cause}; use {meant}"), next),
        Some(meant) => (format!("{cause}; did you mean --{meant}?"), next),
        None => (cause, next),
    }
}

/// Options of other command lines, with the equivalent here.
const FOREIGN_OPTIONS: [(&str, &str); 13] = [
    ("--watch", "--follow"),
    ("-w", "--follow"),
    ("--tail", "--limit"),
    ("--force", "--yes"),
    ("-y", "--yes"),
    ("--namespace", "--service"),
    ("-n", "--service"),
    ("--server", "--endpoint"),
    ("--endpoints", "--endpoint"),
    ("--host", "--endpoint"),
    ("--format", "--output"),
    ("--json", "--output"),
    ("--replicas", "--units"),
];

/// Advice for words that other command lines use as commands. `None` for all others.
fn advice(parent: &str, word: &str) -> Option<&'static str> {
    match parent.split_once(' ') {
        None => top_level_advice(word),
        Some((_, group)) => group_advice(group, word),
    }
}

fn top_level_advice(word: &str) -> Option<&'static str> {
    Some(match word {
        "get" | "describe" => {
            "use `list` or `show`: `meridian region list`, `meridian service show`"
        }
        "apply" | "edit" | "patch" => {
            "`meridian region set` makes several edits in one change, \
             `meridian api publish` replaces an API"
        }
        "login" | "logout" | "auth" => {
            "there is no login: name an agent with --endpoint HOST:PORT or MERIDIAN_ENDPOINTS"
        }
        "config" | "context" | "use-context" => {
            "name the agents with --endpoint HOST:PORT or MERIDIAN_ENDPOINTS; \
             `meridian agent --check-config` checks the configuration of an agent"
        }
        "logs" | "log" => {
            "agents log to standard error; `meridian events` shows what happened in the cluster"
        }
        "watch" => "use `meridian events --follow`",
        "history" => "use `meridian events`",
        "start" | "run" | "up" | "init" | "install" => {
            "`meridian dev` starts a cluster on this machine, `meridian agent` starts one agent"
        }
        "stop" | "down" => "send SIGTERM to the agent's process; Ctrl-C stops `meridian dev`",
        "exec" | "attach" | "port-forward" | "proxy" => {
            "`meridian region list` shows the URL of the gateway in each region"
        }
        "create" | "add" | "new" => {
            "use `meridian service create`, `meridian region add` or `meridian api publish`"
        }
        "update" | "set" => {
            "use `meridian region set`, `meridian region scale` or `meridian service update`"
        }
        "list" | "ls" => {
            "use `meridian service list`, `meridian region list` or `meridian unit list`"
        }
        "delete" | "remove" | "rm" => {
            "use `meridian service delete`, `meridian region remove` or `meridian api remove`"
        }
        "drain" | "cordon" | "evict" => "use `meridian agent drain`",
        "uncordon" => "use `meridian agent drain --undo`",
        "rollout" | "restart" | "roll" => "use `meridian unit roll`",
        "endpoint" | "endpoints" | "health" | "top" | "info" | "ps" | "agents" | "nodes" => {
            "use `meridian status`"
        }
        "member" | "members" => "use `meridian cluster members`",
        "move-leader" => "use `meridian cluster transfer-leader`",
        _ => return None,
    })
}

fn group_advice(group: &str, word: &str) -> Option<&'static str> {
    Some(match (group, word) {
        ("service", "add" | "new") => "use `meridian service create`",
        ("service", "get" | "describe") => "use `meridian service show`",
        ("service", "set" | "edit" | "scale") => {
            "use `meridian service update` for the tier, the port or the primary region, \
             `meridian region scale` for units"
        }
        ("region", "create" | "new") => "use `meridian region add`",
        ("region", "update" | "edit") => "use `meridian region scale` or `meridian region set`",
        ("region", "get" | "describe" | "show") => "use `meridian region list`",
        ("api", "create" | "add" | "new" | "update" | "set" | "apply") => {
            "use `meridian api publish`: it replaces an API with the same name"
        }
        ("api", "get" | "describe") => "use `meridian api show`",
        ("unit", "get" | "describe" | "show") => "use `meridian unit list`",
        ("unit", "restart" | "replace" | "rollout") => "use `meridian unit roll`",
        ("unit", "scale" | "add" | "create" | "remove" | "delete" | "rm") => {
            "use `meridian region scale`: the cluster places the units"
        }
        ("cluster", "add" | "invite") => "use `meridian cluster join`",
        ("cluster", "status" | "health" | "info") => "use `meridian status`",
        ("cluster", "drain") => "use `meridian agent drain`",
        ("cluster", "move" | "update-peer" | "update") => "use `meridian cluster readdress`",
        ("cluster", "move-leader") => "use `meridian cluster transfer-leader`",
        ("agent", "list" | "ls" | "status") => "use `meridian status`",
        ("agent", "remove" | "delete" | "rm") => "use `meridian cluster remove`",
        ("agent", "undrain") => "use `meridian agent drain --undo`",
        ("agent", "join") => "use `meridian cluster join`",
        _ => return None,
    })
}

/// The command with that path, such as `meridian region add`.
fn find<'a>(root: &'a Command, path: &str) -> Option<&'a Command> {
    path.split(' ').skip(1).try_fold(root, |command, word| command.find_subcommand(word))
}

/// Names of the subcommands.
fn names(command: &Command) -> Vec<String> {
    let visible = command.get_subcommands().filter(|inner| !inner.is_hide_set());
    visible.map(|inner| inner.get_name().to_owned()).collect()
}

/// Visible options of a command and its subcommands, with their hyphens.
fn options(command: &Command) -> Vec<String> {
    let visible = command.get_arguments().filter(|argument| !argument.is_hide_set());
    let own = visible.filter_map(|argument| Some(format!("--{}", argument.get_long()?)));
    own.chain(command.get_subcommands().flat_map(options)).collect()
}

/// Commands of any group with that name, quoted.
fn commands_named(root: &Command, word: &str) -> Vec<String> {
    let groups = root.get_subcommands();
    groups
        .filter_map(|group| {
            let inner = group.find_subcommand(word)?;
            Some(format!("`{} {} {}`", root.get_name(), group.get_name(), inner.get_name()))
        })
        .collect()
}

/// The known name within one typing error of `given`, or within two for a name of six or more
/// letters.
fn closest<'a>(given: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let distance = |name: &str| strsim::damerau_levenshtein(given, name);
    let allowed = |name: &str| match name.chars().count() {
        0..=2 => 0,
        3..=5 => 1,
        _ => 2,
    };
    let close = known.filter(|name| distance(name) <= allowed(name));
    close.min_by_key(|name| distance(name))
}

/// Next step that points to the help of a command.
pub(super) fn see_help(command: &str) -> String {
    format!("see `{command} --help`")
}

#[cfg(test)]
mod tests {
    use crate::cli::parse;

    #[test]
    fn a_typing_error_gets_the_closest_command_or_option() {
        for (line, cause) in [
            ("statsu", "unknown command `meridian statsu`; did you mean `meridian status`?"),
            ("reigon list", "unknown command `meridian reigon`; did you mean `meridian region`?"),
            (
                "region sacle eastus",
                "unknown command `meridian region sacle`; did you mean `meridian region scale`?",
            ),
            (
                "status --timout 3",
                "`meridian status` has no option --timout; did you mean --timeout?",
            ),
            ("events --flolow", "`meridian events` has no option --flolow; did you mean --follow?"),
            (
                "--ouptut=json region list",
                "`meridian region list` has no option --ouptut; did you mean --output?",
            ),
            (
                "--ouptut json region list",
                "`meridian` has no option --ouptut; did you mean --output?",
            ),
        ] {
            assert_eq!(parse::fails(line).0, cause, "{line}");
        }
    }

    #[test]
    fn a_distant_word_gets_no_suggestion() {
        for (line, cause, next) in [
            ("frobnicate", "unknown command `meridian frobnicate`", "see `meridian --help`"),
            (
                "region frob",
                "unknown command `meridian region frob`",
                "see `meridian region --help`",
            ),
            (
                "region list --watch",
                "`meridian region list` has no option --watch",
                "see `meridian region list --help`",
            ),
            (
                "region add eastus --watch",
                "`meridian region add` has no option --watch",
                "see `meridian region add --help`",
            ),
            (
                "region list --wait",
                "`meridian region list` has no option --wait",
                "see `meridian region list --help`",
            ),
        ] {
            assert_eq!(parse::fails(line), (cause.to_owned(), next.to_owned()), "{line}");
        }
    }

    #[test]
    fn a_word_of_another_command_line_gets_its_equivalent() {
        for (line, next) in [
            (
                "get regions",
                "use `list` or `show`: `meridian region list`, `meridian service show`",
            ),
            (
                "login",
                "there is no login: name an agent with --endpoint HOST:PORT or MERIDIAN_ENDPOINTS",
            ),
            ("scale eastus --units 3", "use `meridian region scale`"),
            ("publish orders", "use `meridian api publish`"),
            ("promote eastus", "use `meridian region promote`"),
            ("join 10.0.0.1:7401", "use `meridian cluster join`"),
            ("drain eastus-1", "use `meridian agent drain`"),
            (
                "api create orders",
                "use `meridian api publish`: it replaces an API with the same name",
            ),
            ("region describe eastus", "use `meridian region list`"),
            ("unit restart", "use `meridian unit roll`"),
            ("cluster status", "use `meridian status`"),
        ] {
            assert_eq!(parse::fails(line).1, next, "{line}");
        }
        assert!(parse::fails("events --watch").0.ends_with("; use --follow"));
        assert!(parse::fails("region remove eastus --force").0.ends_with("; use --yes"));
    }
}

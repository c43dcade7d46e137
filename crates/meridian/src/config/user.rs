//! User of the units.

use meridian_agent::driver::UnitUser;

use super::ConfigError;
use super::resolver::Resolver;

/// Users of the machine (passwd(5)). Users of directory services are given by their ids.
const USERS: &str = "/etc/passwd";

impl Resolver<'_> {
    /// Returns the user of the units if it is another one than that of this process.
    pub(super) fn unit_user(&self) -> Result<Option<UnitUser>, ConfigError> {
        let own = rustix::process::geteuid().as_raw();
        let user = self.optional_by("unit_user", |text| {
            let users = std::fs::read_to_string(USERS).unwrap_or_default();
            permitted(find(text, &users)?, own)
        })?;
        Ok(user.filter(|user| user.uid != own))
    }
}

/// Finds the user with this name, or these ids, in the text of [`USERS`].
fn find(text: &str, users: &str) -> Result<UnitUser, String> {
    let ids =
        |uid: &str, gid: &str| Some(UnitUser { uid: uid.parse().ok()?, gid: gid.parse().ok()? });
    let of_line = |line: &str| match line.split(':').collect::<Vec<_>>()[..] {
        [name, _, uid, gid, ..] if name == text => ids(uid, gid),
        _ => None,
    };
    let given = text.split_once(':').and_then(|(uid, gid)| ids(uid, gid));
    given.or_else(|| users.lines().find_map(of_line)).ok_or_else(|| {
        format!("{USERS} has no such user: create it, or use the ids of a user, UID:GID")
    })
}

/// Checks that a process of the user `own` can start units as `user`.
fn permitted(user: UnitUser, own: u32) -> Result<UnitUser, String> {
    if own == 0 || own == user.uid {
        return Ok(user);
    }
    Err(format!(
        "only root can start processes as another user, and the agent runs as user {own}: run it as \
         root, or remove the key"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const USERS: &str = "root:x:0:0::/root:/bin/sh\nmeridian-units:x:990:991::/:/bin/false\n";

    #[test]
    fn a_user_is_given_by_name_or_by_ids() {
        let user = UnitUser { uid: 990, gid: 991 };
        assert_eq!(find("meridian-units", USERS), Ok(user));
        assert_eq!(find("990:991", ""), Ok(user));
        for missing in ["nobody", "990", "990:", ""] {
            let error = find(missing, USERS).expect_err("there is no such user");
            assert!(error.contains("has no such user"), "{error}");
        }
    }

    #[test]
    fn only_root_may_run_units_as_another_user() {
        let user = UnitUser { uid: 990, gid: 991 };
        assert_eq!(permitted(user, 0), Ok(user));
        assert_eq!(permitted(user, 990), Ok(user));
        let error = permitted(user, 1_000).expect_err("is not root");
        assert!(error.contains("the agent runs as user 1000: run it as root"), "{error}");
    }
}

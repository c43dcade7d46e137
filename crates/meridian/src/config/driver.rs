//! Which driver runs the units, and what it has to know.

use meridian_agent::driver::CommandTemplates;

use super::{ConfigError, Resolver};

/// What runs the units of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UnitDriver {
    /// This program itself.
    Builtin,
    /// The programs of these templates.
    Command(CommandTemplates),
}

impl Resolver<'_> {
    pub(super) fn driver(&self) -> Result<UnitDriver, ConfigError> {
        let is_command = self.required_by("driver", |text| match text {
            "builtin" => Ok(false),
            "command" => Ok(true),
            _ => Err("write builtin or command"),
        })?;
        if !is_command {
            return Ok(UnitDriver::Builtin);
        }
        self.required_by("driver_template", templates).map(UnitDriver::Command)
    }
}

fn templates(path: &str) -> Result<CommandTemplates, String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    toml::from_str(&text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        let line = text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1;
        format!("line {line}: {}", error.message().trim().replace('\n', ", "))
    })
}

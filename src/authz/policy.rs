//! The decision table: (role, resource, action) -> scopes. Casbin computes it from the policy file.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use casbin::{CoreApi, DefaultModel, Enforcer, MemoryAdapter};

use crate::domain::access::{Action, Resource};
use crate::domain::{AccountId, DoctorId, Visibility};

/// The model and the policy built into the program.
const BUILT_IN: (&str, &str) = (include_str!("../../policies/model.conf"), include_str!("../../policies/policy.csv"));

/// The rows that a grant covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Every row of the clinic.
    Clinic,
    /// Rows of the patients that the account owns.
    Own,
    /// Rows tied to the doctor profile that is linked to the account.
    Assigned,
}

impl Scope {
    const ALL: [Self; 3] = [Self::Clinic, Self::Own, Self::Assigned];

    /// Returns the name in the policy file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Clinic => "clinic",
            Self::Own => "own",
            Self::Assigned => "assigned",
        }
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.name() == name)
    }
}

/// The scopes of one grant, widest first. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scopes(Vec<Scope>);

impl Scopes {
    /// Returns each scope, widest first.
    pub fn iter(&self) -> impl Iterator<Item = Scope> + '_ {
        self.0.iter().copied()
    }

    /// Returns whether the scopes cover every row of the clinic.
    pub fn whole_clinic(&self) -> bool {
        self.0.contains(&Scope::Clinic)
    }

    /// Returns the rows that the scopes make visible to one account.
    pub fn visibility(&self, account: AccountId, doctor: Option<DoctorId>) -> Visibility {
        Visibility {
            whole_clinic: self.whole_clinic(),
            owner: self.0.contains(&Scope::Own).then_some(account),
            doctor: doctor.filter(|_| self.0.contains(&Scope::Assigned)),
        }
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.iter().map(Scope::name).collect();
        f.write_str(&names.join("+"))
    }
}

/// Why a policy cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// A file of the policy folder cannot be read.
    #[error("cannot read the policy file {path}: {source}")]
    Unreadable {
        /// The path of the file.
        path: String,
        /// The cause.
        source: std::io::Error,
    },
    /// A line contains an unknown word. It is refused because casbin would silently grant nothing.
    #[error("policy.csv line {line}: {problem}")]
    Line {
        /// The line's number, from 1.
        line: usize,
        /// The error in the line.
        problem: String,
    },
    /// No role may change users in the whole clinic, so no clinic could have an administrator.
    #[error("policy.csv: no role may update users with scope clinic, so no clinic could have an administrator")]
    NoAdministrator,
    /// Casbin cannot read the model.
    #[error("model.conf: {0}")]
    Model(#[from] casbin::Error),
}

/// The rights of every role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// In the order of the policy file.
    roles: Vec<String>,
    grants: BTreeMap<String, BTreeMap<(Resource, Action), Scopes>>,
}

impl Policy {
    /// Returns the policy built into the program.
    ///
    /// # Errors
    /// Fails if it cannot be used. A test ensures that it can.
    pub async fn built_in() -> Result<Self, PolicyError> {
        Self::parse(BUILT_IN.0, BUILT_IN.1).await
    }

    /// Reads the policy of a folder with `model.conf` and `policy.csv`.
    ///
    /// # Errors
    /// Fails if a file cannot be read or used.
    pub async fn read(folder: &Path) -> Result<Self, PolicyError> {
        let read = |name: &str| {
            let path = folder.join(name);
            std::fs::read_to_string(&path)
                .map_err(|source| PolicyError::Unreadable { path: path.display().to_string(), source })
        };
        Self::parse(&read("model.conf")?, &read("policy.csv")?).await
    }

    /// Computes the table: casbin decides every (role, resource, action, scope) that the lines mention.
    ///
    /// # Errors
    /// Fails if the model or a line cannot be used.
    pub async fn parse(model: &str, csv: &str) -> Result<Self, PolicyError> {
        let lines = lines(csv)?;
        let model = DefaultModel::from_str(model).await?;
        let mut enforcer = Enforcer::new(model, MemoryAdapter::default()).await?;
        for line in &lines {
            let rule = [&*line.role, line.resource.name(), line.action.name(), line.scope.name()];
            casbin::MgmtApi::add_policy(&mut enforcer, rule.map(str::to_owned).to_vec()).await?;
        }
        let mut policy = Self { roles: Vec::new(), grants: BTreeMap::new() };
        for line in &lines {
            if !policy.roles.contains(&line.role) {
                policy.roles.push(line.role.clone());
            }
        }
        for role in &policy.roles {
            let mut granted = BTreeMap::new();
            for line in lines.iter().filter(|line| line.role == *role) {
                let request = (&**role, line.resource.name(), line.action.name(), line.scope.name());
                if enforcer.enforce(request)? {
                    let scopes = granted.entry((line.resource, line.action)).or_insert_with(|| Scopes(Vec::new()));
                    scopes.0.push(line.scope);
                    scopes.0.sort();
                    scopes.0.dedup();
                }
            }
            policy.grants.insert(role.clone(), granted);
        }
        if policy.administering_roles().is_empty() {
            return Err(PolicyError::NoAdministrator);
        }
        Ok(policy)
    }

    /// Returns the scopes in which a role may perform an action. `None` if it never may.
    pub fn decide(&self, role: &str, resource: Resource, action: Action) -> Option<&Scopes> {
        self.grants.get(role)?.get(&(resource, action))
    }

    /// Returns every role, in the order of the file.
    pub fn roles(&self) -> &[String] {
        &self.roles
    }

    /// Returns the roles that may change users in the whole clinic, in the order of the file. A clinic always keeps at
    /// least one active user with one of them.
    pub fn administering_roles(&self) -> Vec<String> {
        let administers =
            |role: &&String| self.decide(role, Resource::Users, Action::Update).is_some_and(Scopes::whole_clinic);
        self.roles.iter().filter(administers).cloned().collect()
    }

    /// Returns the role of the account that creates a clinic: the first administering role.
    pub fn founder_role(&self) -> &str {
        let administers =
            |role: &&String| self.decide(role, Resource::Users, Action::Update).is_some_and(Scopes::whole_clinic);
        // `parse` refuses a policy without such a role.
        self.roles.iter().find(administers).map_or("", String::as_str)
    }

    /// Returns the rights of a role, sorted by resource and action.
    pub fn grants_of(&self, role: &str) -> impl Iterator<Item = (Resource, Action, &Scopes)> {
        let granted = self.grants.get(role).into_iter().flatten();
        granted.map(|((resource, action), scopes)| (*resource, *action, scopes))
    }

    /// Returns the whole table as text: role × resource × action -> scope.
    pub fn matrix(&self) -> String {
        let mut text = String::new();
        for role in &self.roles {
            for resource in Resource::ALL {
                for action in resource.actions() {
                    let scopes = self.decide(role, resource, *action);
                    let scopes = scopes.map_or_else(|| "-".to_owned(), Scopes::to_string);
                    let (resource, action) = (resource.name(), action.name());
                    text.push_str(&format!("{role:<10} {resource:<13} {action:<11} {scopes}\n"));
                }
            }
        }
        text
    }
}

/// One line of the policy file.
struct Line {
    role: String,
    resource: Resource,
    action: Action,
    scope: Scope,
}

/// Parses the policy's lines. Refuses lines that casbin would read as rules that match nothing.
fn lines(csv: &str) -> Result<Vec<Line>, PolicyError> {
    let mut lines = Vec::new();
    for (index, text) in csv.lines().enumerate() {
        let text = text.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let problem = |problem: String| PolicyError::Line { line: index + 1, problem };
        let words: Vec<_> = text.split(',').map(str::trim).collect();
        let &["p", role, resource, action, scope] = words.as_slice() else {
            return Err(problem("expected `p, role, resource, action, scope`".into()));
        };
        let known = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
        if role.is_empty() || role.len() > 40 || !role.chars().all(known) {
            return Err(problem("a role is 1 to 40 lower-case letters, digits, `_` or `-`".into()));
        }
        let kind = Resource::named(resource).ok_or_else(|| problem(format!("unknown resource `{resource}`")))?;
        lines.push(Line {
            role: role.to_owned(),
            resource: kind,
            action: Action::named(kind, action)
                .ok_or_else(|| problem(format!("`{resource}` has no action `{action}`")))?,
            scope: Scope::named(scope).ok_or_else(|| problem(format!("unknown scope `{scope}`")))?,
        });
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADMIN: &str = "p, boss, users, update, clinic\n";

    async fn parse(csv: &str) -> Result<Policy, PolicyError> {
        Policy::parse(BUILT_IN.0, &format!("{ADMIN}{csv}")).await
    }

    #[tokio::test]
    async fn a_new_role_needs_only_the_csv() {
        let policy =
            parse("p, nurse, patients, read, clinic\np, nurse, appointments, transition, own\n").await.unwrap();
        assert_eq!(policy.roles(), ["boss", "nurse"]);
        let scopes = policy.decide("nurse", Resource::Patients, Action::Read).unwrap();
        assert!(scopes.whole_clinic());
        assert_eq!(policy.decide("nurse", Resource::Patients, Action::Delete), None);
        assert_eq!(policy.decide("nobody", Resource::Patients, Action::Read), None);
        assert_eq!(policy.founder_role(), "boss");
    }

    #[tokio::test]
    async fn scopes_of_one_action_add_up() {
        let policy = parse("p, gp, patients, read, assigned\np, gp, patients, read, own\n").await.unwrap();
        let scopes = policy.decide("gp", Resource::Patients, Action::Read).unwrap();
        assert_eq!(scopes.to_string(), "own+assigned");
        let seen = scopes.visibility(AccountId(7), Some(DoctorId(3)));
        assert_eq!((seen.whole_clinic, seen.owner_id(), seen.doctor_id()), (false, Some(7), Some(3)));
        let without_profile = scopes.visibility(AccountId(7), None);
        assert_eq!(without_profile.doctor_id(), None);
    }

    #[tokio::test]
    async fn an_invalid_line_is_refused_with_its_number() {
        for (csv, expected) in [
            ("p, nurse, patient, read, clinic", "line 2: unknown resource `patient`"),
            ("p, nurse, patients, raed, clinic", "line 2: `patients` has no action `raed`"),
            ("p, nurse, patients, read, all", "line 2: unknown scope `all`"),
            ("p, , patients, read, clinic", "line 2: a role is"),
            ("p, nurse, patients, read", "line 2: expected"),
            ("g, nurse, staff", "line 2: expected"),
        ] {
            let error = parse(csv).await.unwrap_err().to_string();
            assert!(error.contains(expected), "{csv}: {error}");
        }
    }

    #[tokio::test]
    async fn a_policy_without_an_administrator_or_empty_is_refused() {
        for csv in ["", "p, staff, patients, read, own\n"] {
            let error = Policy::parse(BUILT_IN.0, csv).await.unwrap_err();
            assert!(matches!(error, PolicyError::NoAdministrator), "{error}");
        }
    }
}

//! An organization of AWS Organizations.

/// A tree of accounts, and the accounts that may read it.
#[derive(Clone, Debug)]
pub struct Organization {
    /// The id of the management account. Its parent is the first root, unless it is in the tree
    /// already.
    pub management_account: String,
    /// The ids of other accounts that may call Organizations.
    pub delegated_administrators: Vec<String>,
    /// The roots. If there are none, the organization gets the root `r-main`.
    pub roots: Vec<OrganizationalUnit>,
    /// Whether accounts have a `State`. Older servers only have `Status`.
    pub states: bool,
    /// Whether an empty page with a `NextToken` comes before each page of a list.
    pub empty_pages: bool,
}

impl Organization {
    /// An organization with only a management account.
    #[must_use]
    pub fn new(management_account: impl Into<String>) -> Self {
        Self {
            management_account: management_account.into(),
            delegated_administrators: Vec::new(),
            roots: Vec::new(),
            states: true,
            empty_pages: false,
        }
    }

    /// Lets another account call Organizations.
    #[must_use]
    pub fn delegated_administrator(mut self, account: impl Into<String>) -> Self {
        self.delegated_administrators.push(account.into());
        self
    }

    /// Adds a root.
    #[must_use]
    pub fn root(mut self, root: OrganizationalUnit) -> Self {
        self.roots.push(root);
        self
    }

    /// Leaves `State` out of the answers.
    #[must_use]
    pub fn without_states(mut self) -> Self {
        self.states = false;
        self
    }

    /// Puts an empty page before each page of a list.
    #[must_use]
    pub fn with_empty_pages(mut self) -> Self {
        self.empty_pages = true;
        self
    }
}

/// A root or an organizational unit: accounts and further units.
#[derive(Clone, Debug)]
pub struct OrganizationalUnit {
    /// `r-abcd` for a root, `ou-abcd-11111111` for an organizational unit.
    pub id: String,
    /// The name.
    pub name: String,
    /// The accounts directly below.
    pub accounts: Vec<Member>,
    /// The units directly below.
    pub units: Vec<OrganizationalUnit>,
}

impl OrganizationalUnit {
    /// A root or a unit with nothing below it. Roots are named `Root`, units after their id.
    #[must_use]
    pub fn new(id: impl Into<String>) -> Self {
        let id = id.into();
        let name = if id.starts_with("r-") { "Root".to_owned() } else { id.clone() };
        Self { id, name, accounts: Vec::new(), units: Vec::new() }
    }

    /// Gives the unit another name.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Adds an account. An id alone stands for an active account. It need not be in the estate.
    #[must_use]
    pub fn account(mut self, member: impl Into<Member>) -> Self {
        self.accounts.push(member.into());
        self
    }

    /// Adds a unit below this one.
    #[must_use]
    pub fn unit(mut self, unit: Self) -> Self {
        self.units.push(unit);
        self
    }

    /// Whether an account is here or anywhere below.
    pub(crate) fn contains(&self, account: &str) -> bool {
        self.accounts.iter().any(|member| member.id == account) || self.units.iter().any(|unit| unit.contains(account))
    }
}

/// An account of an organization.
#[derive(Clone, Debug)]
pub struct Member {
    /// Twelve digits.
    pub id: String,
    /// The account's name.
    pub name: String,
    /// The account's state.
    pub state: MemberState,
}

impl Member {
    /// An active account, named after its id.
    #[must_use]
    pub fn new(id: impl Into<String>) -> Self {
        let id = id.into();
        Self { name: format!("account-{id}"), id, state: MemberState::Active }
    }

    /// Gives the account another name.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Sets the state of the account. This changes only what Organizations answers.
    #[must_use]
    pub fn state(mut self, state: MemberState) -> Self {
        self.state = state;
        self
    }
}

impl From<&str> for Member {
    fn from(id: &str) -> Self {
        Self::new(id)
    }
}

impl From<String> for Member {
    fn from(id: String) -> Self {
        Self::new(id)
    }
}

/// The `State` of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberState {
    /// The sign-up was not completed.
    PendingActivation,
    /// In use.
    Active,
    /// Restricted by AWS.
    Suspended,
    /// About to be closed, but still usable.
    PendingClosure,
    /// Closed.
    Closed,
}

impl MemberState {
    /// The value of `State`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PendingActivation => "PENDING_ACTIVATION",
            Self::Active => "ACTIVE",
            Self::Suspended => "SUSPENDED",
            Self::PendingClosure => "PENDING_CLOSURE",
            Self::Closed => "CLOSED",
        }
    }

    /// The value of `Status`, which distinguishes fewer states.
    #[must_use]
    pub fn status(self) -> &'static str {
        match self {
            Self::PendingActivation | Self::Active => "ACTIVE",
            Self::Suspended | Self::Closed => "SUSPENDED",
            Self::PendingClosure => "PENDING_CLOSURE",
        }
    }
}

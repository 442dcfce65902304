//! What happens with one seed: an estate, a configuration, and crawls with their faults.

use std::fmt;
use std::time::Duration;

use super::faults::{Kind, Trouble};

const REGIONS: [&str; 3] = ["us-east-1", "eu-west-1", "ap-southeast-2"];
const ACCOUNTS: [&str; 4] = ["111111111111", "222222222222", "333333333333", "444444444444"];

/// How the crawler gets access to the accounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// A target for each account, with the keys of its user.
    Keys {
        /// Whether the configuration names the account.
        named: bool,
    },
    /// A target for each account, with a role that the hub assumes.
    Roles,
    /// One target for all accounts of the hub's organization.
    Organization,
}

/// Where the records go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Destination {
    /// A file that is replaced at the end.
    File,
    /// A device that accepts everything: what was written has been delivered.
    Device,
    /// A device that accepts nothing.
    FullDisk,
}

/// How a process is ended before it ends by itself.
#[derive(Clone, Copy, Debug)]
pub(super) enum End {
    Killed(Duration),
    Interrupted(Duration),
}

/// Something that happens to the estate. The number picks the table, or the account.
#[derive(Clone, Copy, Debug)]
pub(super) enum Act {
    Create(u64),
    Remove(u64),
    Recreate(u64),
    Update(u64),
    Drift(u64),
    Suspend(u64),
    Reactivate(u64),
    ExpireSessions,
    MoveKey(u64),
    DeleteKey(u64),
}

/// One crawl, from its first process to the end of its last.
#[derive(Clone, Debug)]
pub(super) struct CrawlPlan {
    /// What happened since the previous crawl.
    pub(super) before: Vec<Act>,
    /// What happens while it runs, by the time since its first process began.
    pub(super) during: Vec<(Duration, Act)>,
    pub(super) troubles: Vec<Trouble>,
    pub(super) ends: Vec<End>,
    pub(super) destination: Destination,
    /// Excludes all tables whose names begin with `b`.
    pub(super) filtered: bool,
    pub(super) fresh: bool,
    /// Accepts removals in all scopes.
    pub(super) accepts: bool,
}

/// Everything that follows from a seed.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) accounts: Vec<&'static str>,
    pub(super) regions: Vec<&'static str>,
    /// Tables by account and Region, in the order of both.
    pub(super) tables: Vec<u64>,
    pub(super) page: usize,
    pub(super) access: Access,
    pub(super) all_regions: bool,
    pub(super) emit: &'static str,
    pub(super) concurrency: u32,
    pub(super) max_attempts: u32,
    pub(super) crawls: Vec<CrawlPlan>,
}

impl Plan {
    pub(super) fn draw(seed: u64, kinds: &[Kind]) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let accounts = ACCOUNTS[..rng.usize(1..=ACCOUNTS.len())].to_vec();
        let regions = REGIONS[..rng.usize(1..=REGIONS.len())].to_vec();
        // Small estates find most; a large one is drawn now and then.
        let most = [4, 12, 25, 60][rng.usize(..4)];
        let scopes = accounts.len() * regions.len();
        let tables = (0..scopes).map(|_| rng.u64(0..=most)).collect();
        let access = match rng.u32(..4) {
            0 => Access::Keys { named: true },
            1 => Access::Keys { named: false },
            2 => Access::Roles,
            _ => Access::Organization,
        };
        let mut plan = Self {
            page: [3, 7, 100][rng.usize(..3)],
            access,
            all_regions: rng.u32(..5) == 0,
            emit: ["snapshot", "both", "changes"][rng.usize(..3)],
            concurrency: [1, 4, 32][rng.usize(..3)],
            max_attempts: rng.u32(2..=5),
            crawls: Vec::new(),
            accounts,
            regions,
            tables,
        };
        let crawls = rng.usize(3..=8);
        plan.crawls = (0..crawls).map(|number| plan.draw_crawl(&mut rng, kinds, number + 1 == crawls)).collect();
        plan
    }

    fn draw_crawl(&self, rng: &mut fastrand::Rng, kinds: &[Kind], last: bool) -> CrawlPlan {
        let acts = |rng: &mut fastrand::Rng, most: u32| -> Vec<Act> {
            (0..rng.u32(0..=most)).map(|_| draw_act(rng, kinds)).collect()
        };
        let before = acts(rng, 5);
        let mut during: Vec<_> = acts(rng, 3).into_iter().map(|act| (moment(rng), act)).collect();
        during.sort_by_key(|(at, _)| *at);
        // If a key moves back in the same run, nothing can detect the responses in between.
        let mut moved = false;
        during.retain(|(_, act)| !matches!(act, Act::MoveKey(_)) || !std::mem::replace(&mut moved, true));
        // The last crawl has no faults, so that everything that is pending comes to light.
        let troubles = if last { 0 } else { rng.usize(0..=3) };
        let mut troubles: Vec<Trouble> =
            (0..troubles).filter_map(|_| Some(rng.choice(kinds)?.draw(rng, self))).collect();
        // The first rule that fits a request applies, and whose keys they are must hold for all
        // requests.
        troubles.sort_by_key(|trouble| trouble.kind != Kind::AnswersAsOther);
        let ends = if last || rng.bool() { 0 } else { rng.usize(1..=3) };
        let ends = (0..ends).map(|_| {
            let after = moment(rng);
            if rng.u32(..4) == 0 { End::Interrupted(after) } else { End::Killed(after) }
        });
        CrawlPlan {
            before,
            during: if last { Vec::new() } else { during },
            troubles,
            ends: ends.collect(),
            destination: match rng.u32(..8) {
                0 if !last => Destination::FullDisk,
                1 => Destination::Device,
                _ => Destination::File,
            },
            filtered: rng.u32(..5) == 0,
            fresh: rng.u32(..8) == 0,
            accepts: rng.u32(..6) == 0,
        }
    }

    /// The Regions of an account, with the number of tables in each.
    pub(super) fn scopes(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
        let places =
            self.accounts.iter().flat_map(|account| self.regions.iter().map(move |region| (*account, *region)));
        places.zip(&self.tables).map(|((account, region), tables)| (account, region, *tables))
    }
}

/// A short text: one line for the estate and the configuration, and one for each crawl.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { accounts, regions, tables, page, access, all_regions, emit, concurrency, max_attempts, crawls } =
            self;
        write!(f, "{} accounts x {regions:?}, tables {tables:?}, pages of {page}, {access:?}", accounts.len())?;
        let all = if *all_regions { ", all Regions" } else { "" };
        writeln!(f, "{all}, emit {emit}, concurrency {concurrency}, {max_attempts} attempts")?;
        for (number, crawl) in crawls.iter().enumerate() {
            let CrawlPlan { before, during, troubles, ends, destination, filtered, fresh, accepts } = crawl;
            write!(
                f,
                "  {}: {destination:?}, before {before:?}, during {during:?}, {troubles:?}, {ends:?}",
                number + 1
            )?;
            let marks = [(*filtered, "filtered"), (*fresh, "fresh"), (*accepts, "accepts")];
            marks.into_iter().filter(|(is, _)| *is).try_for_each(|(_, mark)| write!(f, ", {mark}"))?;
            writeln!(f)?;
        }
        Ok(())
    }
}

fn draw_act(rng: &mut fastrand::Rng, kinds: &[Kind]) -> Act {
    let pick = rng.u64(..);
    match rng.u32(..16) {
        0..=2 => Act::Create(pick),
        3..=5 => Act::Remove(pick),
        6..=7 => Act::Recreate(pick),
        8..=10 => Act::Update(pick),
        11 => Act::Drift(pick),
        12 if kinds.contains(&Kind::Suspensions) => Act::Suspend(pick),
        13 => Act::Reactivate(pick),
        14 if kinds.contains(&Kind::MovedKeys) => Act::MoveKey(pick),
        15 if kinds.contains(&Kind::DeletedKeys) => Act::DeleteKey(pick),
        _ => Act::ExpireSessions,
    }
}

/// A moment in a crawl: most are early, because most crawls are short.
fn moment(rng: &mut fastrand::Rng) -> Duration {
    Duration::from_millis([30, 200, 1_000, 5_000][rng.usize(..4)] * rng.u64(1..=10) / 10)
}

//! What a fault can do to a request.

use std::time::Duration;

use serde_json::Value;

/// What a fault does to a request. An effect that does not concern the operation leaves the right answer as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Effect {
    /// A throttling error.
    Throttle,
    /// An error of this HTTP status: 500 is InternalServerError, 503 ServiceUnavailable.
    Status(u16),
    /// Any AWS error.
    Error {
        /// The error's code, with or without a namespace before a `#`.
        code: String,
        /// The error's message.
        message: String,
        /// The HTTP status.
        status: u16,
    },
    /// The error of credentials that the service does not recognize, in the form of the service.
    UnrecognizedClient,
    /// An access-denied error.
    Deny,
    /// An expired-token error; the session that was used is ended, too.
    ExpireToken,
    /// The error of a table that does not exist.
    NotFound,

    /// The answer comes later. Rules after this one still apply.
    Delay(Duration),
    /// The connection is closed without an answer.
    DropConnection,
    /// The answer announces its full length, and the connection closes halfway through.
    TruncateBody,
    /// The right answer in sixteen pieces, with this pause before each.
    SlowBody {
        /// The pause.
        chunk_delay: Duration,
    },
    /// A status line that is not HTTP. In process, the connection breaks.
    BrokenHttp,
    /// The right answer with a header of so many bytes. In process, the connection breaks if there are more than
    /// 256 KiB.
    OversizedHeader(usize),
    /// A body that never ends. In process, the connection breaks after [`InProcess::MOST`](crate::InProcess::MOST)
    /// bytes, unless the answer is read piece by piece.
    EndlessBody,
    /// The right answer, padded with spaces to at least so many bytes.
    LargeBody(usize),
    /// The right answer with a member, or an element, that nests so deeply.
    NestedBody(usize),
    /// HTTP 200 with a page of HTML, as a captive portal or a broken proxy sends it.
    GarbageBody,
    /// A proxy's page of HTML with this status; 407 asks for the proxy's credentials.
    ProxyPage(u16),
    /// An answer that claims to be compressed with gzip and is not.
    FalseGzip,
    /// A redirect.
    Redirect {
        /// 301, 302, 303, 307 or 308.
        status: u16,
        /// The `Location`.
        location: String,
    },

    /// DescribeTable's answer with these edits, one after the other.
    EditTable(Vec<TableEdit>),
    /// ListTables answers otherwise than it should.
    List(Listing),

    /// The request is answered as if this account had sent it, also if the caller is a session. For AssumeRole, the
    /// role is the one that was asked for, but its session belongs to this account.
    AsAccount(String),
    /// AssumeRole says that the session ends so many seconds from now; the session itself is not affected.
    ClaimExpiration(i64),

    /// The lists of accounts of an organization have their first so many accounts only.
    FirstAccounts(usize),
    /// The lists of accounts have these ids, as those of another organization.
    OtherAccounts(Vec<String>),
}

/// One edit of the `Table` in DescribeTable's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TableEdit {
    /// The answer is about a table of this name: `TableName` and the ARNs of the table, its indexes and its stream.
    Name(String),
    /// The same ARNs have this account.
    ArnAccount(String),
    /// The same ARNs have this Region: an emulator's `ddblocal`, or another Region of AWS.
    ArnRegion(String),
    /// Nothing but `TableName` is left.
    Stub,
    /// The member that this JSON Pointer names is left out.
    Without(String),
    /// The value that this JSON Pointer names is another one, perhaps of another type. A member that is missing is
    /// added if its parent is there.
    Set(String, Value),
}

/// How ListTables answers otherwise than it should.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Listing {
    /// The first name of a page stands at its end, too.
    RepeatInPage,
    /// The list's first name stands at the end of each later page, too.
    RepeatOnPages,
    /// Two pages point at each other.
    Cycle,
    /// The start name is part of its page.
    InclusiveStart,
    /// An empty page after the other, each with another `LastEvaluatedTableName`.
    EmptyPages,
    /// Names of these patterns (a name, or a prefix and a final `*`) are left out.
    LeaveOut(Vec<String>),
    /// Each page begins with an empty name.
    EmptyName,
}

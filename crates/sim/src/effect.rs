//! What a fault can do to a request.

use std::time::Duration;

use serde_json::Value;

/// What a fault does to a request. An effect that does not apply to the operation does not change
/// the answer.
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
    /// An expired-token error. It also ends the session of the request.
    ExpireToken,
    /// The error of a table that does not exist.
    NotFound,

    /// Delays the answer. Rules after this one still apply.
    Delay(Duration),
    /// The connection is closed without an answer.
    DropConnection,
    /// The answer announces its full length, and the connection closes after half of it.
    TruncateBody,
    /// The correct answer in sixteen pieces, with this pause before each.
    SlowBody {
        /// The pause.
        chunk_delay: Duration,
    },
    /// A status line that is not HTTP. In process, the connection breaks.
    BrokenHttp,
    /// The correct answer with a header of this many bytes. In process, the connection breaks if
    /// there are more than 256 KiB.
    OversizedHeader(usize),
    /// A body that never ends. In process, the connection breaks after [`InProcess::MOST`](crate::InProcess::MOST)
    /// bytes, unless the answer is read piece by piece.
    EndlessBody,
    /// The correct answer, padded with spaces to at least this many bytes.
    LargeBody(usize),
    /// The correct answer with a member, or an element, that is nested this deeply.
    NestedBody(usize),
    /// HTTP 200 with a page of HTML, as a captive portal or a broken proxy sends it.
    GarbageBody,
    /// A proxy's page of HTML with this status. 407 requests credentials for the proxy.
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
    /// A wrong answer of ListTables.
    List(Listing),

    /// Answers as if this account had sent the request, also if the caller is a session. For
    /// AssumeRole, the role is the requested one, but its session belongs to this account.
    AsAccount(String),
    /// AssumeRole answers that the session expires in this many seconds. The session itself is not
    /// affected.
    ClaimExpiration(i64),

    /// Lists of an organization's accounts contain only this many of their first accounts.
    FirstAccounts(usize),
    /// Lists of accounts have these ids instead, like those of another organization.
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
    /// The same ARNs have this Region: `ddblocal` of an emulator, or another Region of AWS.
    ArnRegion(String),
    /// Only `TableName` remains.
    Stub,
    /// Removes the member at this JSON Pointer.
    Without(String),
    /// Replaces the value at this JSON Pointer, perhaps by another type. A missing member is added
    /// if its parent exists.
    Set(String, Value),
}

/// A wrong answer of ListTables.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Listing {
    /// The first name of a page is repeated at its end.
    RepeatInPage,
    /// The first name of the list is repeated at the end of each later page.
    RepeatOnPages,
    /// Two pages point at each other.
    Cycle,
    /// The page includes the start name.
    InclusiveStart,
    /// Endless empty pages, each with another `LastEvaluatedTableName`.
    EmptyPages,
    /// Names of these patterns (a name, or a prefix and a final `*`) are left out.
    LeaveOut(Vec<String>),
    /// Each page begins with an empty name.
    EmptyName,
}

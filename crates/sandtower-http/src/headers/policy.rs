//! `RateLimit` and `RateLimit-Policy`: structured fields (RFC 9651).

use std::borrow::Cow;
use std::cmp::Reverse;
use std::convert::Infallible;
use std::time::Duration;

use http::{HeaderMap, HeaderName};
use sandtower_core::Allowance;
use sfv::visitor::{
    DictionaryVisitor, EntryVisitor, Ignored, InnerListVisitor, ItemVisitor, ListVisitor,
    ParameterVisitor,
};
use sfv::{BareItemFromInput, KeyRef, Parser};

use super::number::LONGEST;

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// The most limits that are read: servers have two or three, and each is compared with each policy.
const MOST: usize = 8;

/// The tightest limit in both headers: the one with the least remaining, and of those the one with the
/// latest reset.
///
/// A limit is skipped if its policy has no quota, or counts something other than requests. A header that
/// is malformed anywhere is ignored as a whole, as its draft requires.
pub(super) fn allowance(fields: &HeaderMap) -> Option<Allowance> {
    if !fields.contains_key(RATE_LIMIT) {
        return None;
    }
    limits(fields).or_else(|| dictionary(fields))
}

/// The form of the drafts from 08 on: `"name";r=50;t=30` beside `"name";q=100;w=60`.
fn limits(fields: &HeaderMap) -> Option<Allowance> {
    let mut limits = Limits::default();
    for value in fields.get_all(RATE_LIMIT) {
        Parser::new(value.as_bytes())
            .parse_list_with_visitor(Members(|member| {
                limits.add(member);
            }))
            .ok()?;
    }
    for value in fields.get_all(RATE_LIMIT_POLICY) {
        Parser::new(value.as_bytes())
            .parse_list_with_visitor(Members(|member| {
                limits.apply(&member);
            }))
            .ok()?;
    }
    let allowances = limits.of.iter().flatten().filter_map(Limit::allowance);
    allowances.min_by_key(|limit| (limit.remaining, Reverse(limit.reset)))
}

/// The form of draft 07: `limit=100, remaining=50, reset=5`.
fn dictionary(fields: &HeaderMap) -> Option<Allowance> {
    let mut three = Three::default();
    for value in fields.get_all(RATE_LIMIT) {
        Parser::new(value.as_bytes()).parse_dictionary_with_visitor(&mut three).ok()?;
    }
    consistent(three.limit?, three.remaining?, three.reset?)
}

fn consistent(limit: u64, remaining: u64, reset: u64) -> Option<Allowance> {
    (remaining <= limit && reset <= LONGEST)
        .then(|| Allowance::new(limit, remaining, Duration::from_secs(reset)))
}

/// One member of either list. Parameters that are absent or not whole numbers are `None`.
#[derive(Default)]
struct Member<'a> {
    name: Option<Cow<'a, str>>,
    remaining: Option<u64>,
    reset: Option<u64>,
    quota: Option<u64>,
    window: Option<u64>,
    counts_something_else: bool,
}

#[derive(Default)]
struct Limits<'a> {
    of: [Option<Limit<'a>>; MOST],
}

struct Limit<'a> {
    name: Cow<'a, str>,
    remaining: u64,
    reset: Option<u64>,
    quota: Option<u64>,
}

impl<'a> Limits<'a> {
    fn add(&mut self, member: Member<'a>) {
        let (Some(name), Some(remaining)) = (member.name, member.remaining) else { return };
        if let Some(free) = self.of.iter_mut().find(|limit| limit.is_none()) {
            let (reset, quota) = (member.reset, member.quota);
            *free = Some(Limit { name, remaining, reset, quota });
        }
    }

    /// Merges a policy into the limits with its name.
    fn apply(&mut self, policy: &Member<'_>) {
        for limit in self.of.iter_mut().flatten() {
            if Some(&limit.name) == policy.name.as_ref() {
                limit.quota = policy.quota.filter(|_| !policy.counts_something_else);
                // After a whole window all of it is available again.
                limit.reset = limit.reset.or(policy.window);
            }
        }
    }
}

impl Limit<'_> {
    fn allowance(&self) -> Option<Allowance> {
        consistent(self.quota?, self.remaining, self.reset?)
    }
}

/// Visits the members of a list. Inner lists are skipped.
struct Members<F>(F);

impl<'a, F: FnMut(Member<'a>)> ListVisitor<'a> for Members<F> {
    type Out = ();
    type Error = Infallible;

    fn entry(&mut self) -> Result<impl EntryVisitor<'a>, Infallible> {
        Ok(OneMember { member: Member::default(), then: &mut self.0 })
    }

    fn finish(self) -> Result<(), Infallible> {
        Ok(())
    }
}

struct OneMember<'f, 'a, F> {
    member: Member<'a>,
    then: &'f mut F,
}

impl<'a, F: FnMut(Member<'a>)> EntryVisitor<'a> for OneMember<'_, 'a, F> {
    type Error = Infallible;

    fn item(self) -> Result<impl ItemVisitor<'a>, Infallible> {
        Ok(self)
    }

    fn inner_list(self) -> Result<impl InnerListVisitor<'a>, Infallible> {
        Ok(Ignored)
    }
}

impl<'a, F: FnMut(Member<'a>)> ItemVisitor<'a> for OneMember<'_, 'a, F> {
    type Out = ();
    type Error = Infallible;

    fn bare_item(
        mut self,
        name: BareItemFromInput<'a>,
    ) -> Result<impl ParameterVisitor<'a, Out = ()>, Infallible> {
        self.member.name = match name {
            BareItemFromInput::String(Cow::Borrowed(name)) => Some(Cow::Borrowed(name.as_str())),
            BareItemFromInput::String(Cow::Owned(name)) => Some(Cow::Owned(name.into())),
            // The draft began with tokens, and some servers still send them.
            BareItemFromInput::Token(name) => Some(Cow::Borrowed(name.as_str())),
            _ => None,
        };
        Ok(self)
    }
}

impl<'a, F: FnMut(Member<'a>)> ParameterVisitor<'a> for OneMember<'_, 'a, F> {
    type Out = ();
    type Error = Infallible;

    fn parameter(
        &mut self,
        key: &'a KeyRef,
        value: BareItemFromInput<'a>,
    ) -> Result<(), Infallible> {
        let member = &mut self.member;
        match key.as_str() {
            "r" => member.remaining = integer(&value),
            "t" => member.reset = integer(&value),
            "q" => member.quota = integer(&value),
            "w" => member.window = integer(&value),
            "qu" => member.counts_something_else = !is_requests(&value),
            _ => {}
        }
        Ok(())
    }

    fn finish(self) -> Result<(), Infallible> {
        (self.then)(self.member);
        Ok(())
    }
}

fn integer(value: &BareItemFromInput<'_>) -> Option<u64> {
    match value {
        BareItemFromInput::Integer(value) => u64::try_from(*value).ok(),
        _ => None,
    }
}

/// The unit is `requests`; earlier drafts had `request`.
fn is_requests(unit: &BareItemFromInput<'_>) -> bool {
    let unit = match unit {
        BareItemFromInput::String(unit) => unit.as_str(),
        BareItemFromInput::Token(unit) => unit.as_str(),
        _ => return false,
    };
    matches!(unit, "requests" | "request")
}

#[derive(Default)]
struct Three {
    limit: Option<u64>,
    remaining: Option<u64>,
    reset: Option<u64>,
}

impl<'a> DictionaryVisitor<'a> for &mut Three {
    type Out = ();
    type Error = Infallible;

    fn entry(&mut self, key: &'a KeyRef) -> Result<impl EntryVisitor<'a>, Infallible> {
        Ok(Number(match key.as_str() {
            "limit" => Some(&mut self.limit),
            "remaining" => Some(&mut self.remaining),
            "reset" => Some(&mut self.reset),
            _ => None,
        }))
    }

    fn finish(self) -> Result<(), Infallible> {
        Ok(())
    }
}

struct Number<'n>(Option<&'n mut Option<u64>>);

impl<'a> EntryVisitor<'a> for Number<'_> {
    type Error = Infallible;

    fn item(self) -> Result<impl ItemVisitor<'a>, Infallible> {
        Ok(self)
    }

    fn inner_list(self) -> Result<impl InnerListVisitor<'a>, Infallible> {
        Ok(Ignored)
    }
}

impl<'a> ItemVisitor<'a> for Number<'_> {
    type Out = ();
    type Error = Infallible;

    fn bare_item(
        self,
        value: BareItemFromInput<'a>,
    ) -> Result<impl ParameterVisitor<'a, Out = ()>, Infallible> {
        if let Some(number) = self.0 {
            *number = integer(&value);
        }
        Ok(Ignored)
    }
}

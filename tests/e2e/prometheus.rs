//! A strict reader of Prometheus's text format, version 0.0.4.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::str::Chars;

/// A page of metrics.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub(crate) families: BTreeMap<String, Family>,
}

/// The series of one metric.
#[derive(Debug, Default)]
pub(crate) struct Family {
    pub(crate) kind: String,
    pub(crate) help: Option<String>,
    pub(crate) samples: BTreeMap<Series, f64>,
}

/// A series: its name and labels.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
}

impl Page {
    /// Reads a page, and panics if a scraper might refuse it.
    #[track_caller]
    pub(crate) fn parse(text: &str) -> Self {
        Self::read(text).unwrap_or_else(|problem| panic!("{problem} in\n{text}"))
    }

    fn read(text: &str) -> Result<Self, String> {
        if !text.ends_with('\n') {
            return Err("the last line does not end".to_owned());
        }
        let mut page = Self::default();
        let mut current = String::new();
        for line in text.lines().filter(|line| !line.is_empty()) {
            let read = match line.strip_prefix("# ") {
                Some(about) => page.about(about, &mut current),
                None => page.sample(line, &current),
            };
            read.map_err(|problem| format!("{problem}: {line}"))?;
        }
        for (name, family) in &page.families {
            family.check(name).map_err(|problem| format!("{name}: {problem}"))?;
        }
        Ok(page)
    }

    /// A line with the HELP or TYPE of a family. These lines come together, before the samples.
    fn about(&mut self, about: &str, current: &mut String) -> Result<(), String> {
        let (what, rest) = about.split_once(' ').ok_or("a comment")?;
        let (name, value) = rest.split_once(' ').ok_or("nothing follows the name")?;
        is_name(name, true)?;
        if name != current && self.families.contains_key(name) {
            return Err("the family is in two places".to_owned());
        }
        name.clone_into(current);
        let family = self.families.entry(name.to_owned()).or_default();
        if !family.samples.is_empty() {
            return Err("after its samples".to_owned());
        }
        match what {
            "HELP" if family.help.is_none() && family.kind.is_empty() => family.help = Some(value.to_owned()),
            "TYPE" if family.kind.is_empty() && ["counter", "gauge", "histogram"].contains(&value) => {
                value.clone_into(&mut family.kind);
            }
            _ => return Err("twice, or unknown".to_owned()),
        }
        Ok(())
    }

    fn sample(&mut self, line: &str, current: &str) -> Result<(), String> {
        let end = line.find(['{', ' ']).ok_or("no value")?;
        let name = &line[..end];
        is_name(name, true)?;
        let mut rest = line[end..].chars().peekable();
        let labels = if rest.peek() == Some(&'{') { labels(&mut rest)? } else { BTreeMap::new() };
        let value: String = rest.collect();
        let value = value.strip_prefix(' ').ok_or("no blank before the value")?;
        let family = self.families.get_mut(current).ok_or("without a TYPE")?;
        let part = name.strip_prefix(current).ok_or("of another family")?;
        let parts: &[&str] = if family.kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
        if !parts.contains(&part) {
            return Err(format!("not a part of a {}", family.kind));
        }
        let series = Series { name: name.to_owned(), labels };
        match family.samples.insert(series, number(value)?) {
            None => Ok(()),
            Some(_) => Err("twice".to_owned()),
        }
    }

    /// A family.
    #[track_caller]
    pub(crate) fn family(&self, name: &str) -> &Family {
        self.families.get(name).unwrap_or_else(|| panic!("no {name} in {:?}", self.families.keys()))
    }

    /// The value of a series.
    #[track_caller]
    pub(crate) fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.part(name, "", labels)
    }

    /// The value of a part of a series, such as `_count` of a histogram.
    #[track_caller]
    pub(crate) fn part(&self, family: &str, part: &str, labels: &[(&str, &str)]) -> f64 {
        let labels = labels.iter().map(|(label, value)| ((*label).to_owned(), (*value).to_owned())).collect();
        let series = Series { name: format!("{family}{part}"), labels };
        let family = self.family(family);
        *family.samples.get(&series).unwrap_or_else(|| panic!("no {series:?} in {:?}", family.samples))
    }

    /// The sum over the series of a family whose label has this value.
    #[track_caller]
    pub(crate) fn sum_of(&self, name: &str, label: &str, value: &str) -> f64 {
        let samples = self.family(name).samples.iter();
        samples
            .filter(|(series, _)| series.labels.get(label).is_some_and(|is| is == value))
            .map(|(_, value)| value)
            .sum()
    }

    /// The sum over all series of a family.
    #[track_caller]
    pub(crate) fn sum(&self, name: &str) -> f64 {
        self.family(name).samples.values().sum()
    }
}

impl Family {
    fn check(&self, name: &str) -> Result<(), String> {
        let counts = self.kind == "counter";
        if self.kind.is_empty() {
            return Err("no TYPE".to_owned());
        }
        if counts != name.ends_with("_total") {
            return Err("counters end with _total, and nothing else does".to_owned());
        }
        if self.kind != "gauge" && self.samples.values().any(|value| !value.is_finite() || *value < 0.0) {
            return Err("counted below zero, or without end".to_owned());
        }
        if self.kind == "histogram" { self.histogram(name) } else { Ok(()) }
    }

    /// Buckets are cumulative, the one up to +Inf is the count, and there is a sum.
    fn histogram(&self, name: &str) -> Result<(), String> {
        let mut of: BTreeMap<BTreeMap<String, String>, Vec<(f64, f64)>> = BTreeMap::new();
        for (series, value) in self.samples.iter().filter(|(series, _)| series.name.ends_with("_bucket")) {
            let mut labels = series.labels.clone();
            let bound = number(&labels.remove("le").ok_or("a bucket without le")?)?;
            of.entry(labels).or_default().push((bound, *value));
        }
        let part = |part: &str, labels: &BTreeMap<String, String>| {
            let series = Series { name: format!("{name}{part}"), labels: labels.clone() };
            self.samples.get(&series).copied().ok_or_else(|| format!("no {part}"))
        };
        let mut series = 0;
        for (labels, mut buckets) in of {
            buckets.sort_by(|(one, _), (other, _)| one.total_cmp(other));
            if !buckets.is_sorted_by(|(_, one), (_, other)| one <= other) {
                return Err(format!("not cumulative: {buckets:?}"));
            }
            let all = buckets.last().filter(|(bound, _)| *bound == f64::INFINITY).ok_or("no bucket up to +Inf")?.1;
            if all != part("_count", &labels)? || part("_sum", &labels)? < 0.0 {
                return Err("the count is another".to_owned());
            }
            series += buckets.len() + 2;
        }
        if series == self.samples.len() { Ok(()) } else { Err("a count without buckets".to_owned()) }
    }
}

fn is_name(text: &str, colons: bool) -> Result<(), String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || (colons && c == ':');
    if text.starts_with(|c: char| allowed(c) && !c.is_ascii_digit()) && text.chars().all(allowed) {
        return Ok(());
    }
    Err(format!("{text:?} is not a name"))
}

fn labels(rest: &mut Peekable<Chars<'_>>) -> Result<BTreeMap<String, String>, String> {
    let mut labels = BTreeMap::new();
    rest.next();
    loop {
        let mut name = String::new();
        while let Some(c) = rest.next_if(|c| *c != '=') {
            name.push(c);
        }
        is_name(&name, false)?;
        if rest.next() != Some('=') || rest.next() != Some('"') {
            return Err("a label without a value".to_owned());
        }
        let mut value = String::new();
        loop {
            match rest.next().ok_or("a label does not end")? {
                '"' => break,
                '\\' => value.push(match rest.next() {
                    Some('n') => '\n',
                    Some(c @ ('\\' | '"')) => c,
                    other => return Err(format!("{other:?} is escaped")),
                }),
                c => value.push(c),
            }
        }
        if labels.insert(name, value).is_some() {
            return Err("a label twice".to_owned());
        }
        match rest.next() {
            Some(',') => {}
            Some('}') => return Ok(labels),
            other => return Err(format!("{other:?} after a label")),
        }
    }
}

/// Parses a number. Rust's own parser accepts words that Prometheus's does not.
fn number(text: &str) -> Result<f64, String> {
    match text {
        "+Inf" => Ok(f64::INFINITY),
        "-Inf" => Ok(f64::NEG_INFINITY),
        "NaN" => Ok(f64::NAN),
        _ if text.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b)) => {
            text.parse().map_err(|_| format!("{text:?} is no number"))
        }
        _ => Err(format!("{text:?} is no number")),
    }
}

#[test]
fn a_page_that_a_scraper_would_refuse_is_refused() {
    let good = "# HELP a_total All.\n# TYPE a_total counter\na_total{l=\"x\\\"\\\\\\n,}\"} 1\na_total{l=\"y\"} 2.5e3\n\n\
                # TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 3\nh_sum 7\nh_count 3\n";
    let page = Page::parse(good);
    assert_eq!((page.sum("a_total"), page.value("a_total", &[("l", "x\"\\\n,}")])), (2501.0, 1.0));
    for (what, right, wrong) in [
        ("no TYPE", "# TYPE a_total counter\n", ""),
        ("an unknown type", "counter", "count"),
        ("HELP twice", "# HELP a_total All.\n", "# HELP a_total All.\n# HELP a_total All.\n"),
        ("a family in two places", "h_count 3\n", "h_count 3\n# TYPE a_total counter\n"),
        ("a sample of another family", "a_total{l=\"y\"}", "b_total{l=\"y\"}"),
        ("a series twice", "l=\"y\"", "l=\"x\\\"\\\\\\n,}\""),
        ("a label twice", "{l=\"y\"}", "{l=\"y\",l=\"y\"}"),
        ("a comma too many", "{l=\"y\"}", "{l=\"y\",}"),
        ("a quote in a label", "{l=\"y\"}", "{l=\"y\"z\"}"),
        ("another escape", "{l=\"y\"}", "{l=\"\\t\"}"),
        ("a name with a dash", "{l=\"y\"}", "{l-l=\"y\"}"),
        ("no number", " 2.5e3", " inf"),
        ("no value", " 2.5e3", ""),
        ("a time as well", " 2.5e3", " 2.5e3 1795516522"),
        ("a negative counter", " 2.5e3", " -1"),
        ("buckets that shrink", "h_bucket{le=\"1\"} 1", "h_bucket{le=\"1\"} 4"),
        ("no last bucket", "+Inf", "9"),
        ("another count", "h_count 3", "h_count 4"),
        ("no sum", "h_sum 7\n", ""),
        ("no end", "h_count 3\n", "h_count 3"),
    ] {
        let changed = good.replace(right, wrong);
        assert!(changed != good && Page::read(&changed).is_err(), "{what} is not detected");
    }
}

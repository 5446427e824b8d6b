//! Seconds since 1970 as a UTCTime.

use crate::Error;

const DAY: u64 = 24 * 60 * 60;

/// `YYMMDDHHMMSSZ` (ITU-T X.680 §47); two digits for the year reach to 2049 (RFC 5280 §4.1.2.5.1).
pub fn utc_time(seconds: u64) -> Result<String, Error> {
    let (mut days, second) = (seconds / DAY, seconds % DAY);
    let mut year = 1970;
    while days >= days_of_year(year) {
        days -= days_of_year(year);
        year += 1;
        if year > 2049 {
            return Err(Error::Time { seconds });
        }
    }
    let mut month = 1;
    while days >= days_of_month(year, month) {
        days -= days_of_month(year, month);
        month += 1;
    }
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    Ok(format!(
        "{:02}{month:02}{:02}{hour:02}{minute:02}{second:02}Z",
        year % 100,
        days + 1
    ))
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn days_of_year(year: u64) -> u64 {
    if is_leap(year) { 366 } else { 365 }
}

fn days_of_month(year: u64, month: u64) -> u64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

//! Time stamps of RFC 3161: when a signature was made.

use anyhow::Result;
use driver_catalog::pkcs7::SignedData;
use time::{Date, Month};

use super::super::pkcs7;
use super::{Checker, Verdict};
use crate::process::Run;

impl Checker {
    /// When a signature was made, or why its time stamp does not say so. Whether the authority is to be trusted is not asked.
    pub(super) fn timestamp(
        &self,
        token: &[u8],
        value: &[u8],
        verdict: &mut Verdict,
    ) -> Result<Result<u64, String>> {
        let data = match SignedData::parse(token) {
            Ok(data) => data,
            Err(error) => return Ok(Err(error.to_string())),
        };
        if let Err(error) = pkcs7::signer(&data) {
            return Ok(Err(error.to_string()));
        }
        let mut own = String::new();
        for certificate in &data.certificates {
            match self.pem(certificate.encoded) {
                Ok(pem) => own.push_str(&pem),
                Err(_) => return Ok(Err("a certificate in it cannot be read".to_owned())),
            }
        }
        let output = Run::new("openssl")
            .args(["cms", "-verify", "-inform", "DER", "-in"])
            .arg(self.file("token", data.encoded)?)
            .args([
                "-purpose",
                "timestampsign",
                "-partial_chain",
                "-no_check_time",
            ])
            .args(["-no-CApath", "-no-CAstore", "-CAfile"])
            .arg(self.file("authority.pem", own.as_bytes())?)
            .args(["-out", "/dev/null"])
            .output()?;
        if !output.status.success() {
            let text = output.text();
            let line = text.lines().rfind(|line| line.contains("error:"));
            let why = line.and_then(|line| line.split(':').nth(4));
            return Ok(Err(why.unwrap_or("it does not verify").to_owned()));
        }
        self.strays(&data, None, verdict)?;
        let stamp = match pkcs7::stamp(&data) {
            Ok(stamp) => stamp,
            Err(error) => return Ok(Err(error.to_string())),
        };
        Ok(match (stamp.is_for(value), seconds(stamp.time)) {
            (Some(true), Some(time)) => Ok(time),
            (Some(true), None) => Err("its time cannot be read".to_owned()),
            (Some(false), _) => Err("it is for another signature".to_owned()),
            (None, _) => Err("its digest is not of the SHA-2 family".to_owned()),
        })
    }
}

/// Seconds after 1970 of a GeneralizedTime in UTC, `YYYYMMDDhhmmss[.f]Z`.
pub fn seconds(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<u8>().ok();
    let year = text.get(..4)?.parse().ok()?;
    let month = Month::try_from(number(4, 6)?).ok()?;
    let date = Date::from_calendar_date(year, month, number(6, 8)?).ok()?;
    let time = date
        .with_hms(number(8, 10)?, number(10, 12)?, number(12, 14)?)
        .ok()?;
    u64::try_from(time.assume_utc().unix_timestamp()).ok()
}

//! Where the key is that signs, as the command line tells it.

use std::path::PathBuf;
use std::str::FromStr;

/// Which key signs, and how its certificate's time is proven.
#[derive(clap::Args, Clone, Debug, Default)]
// Two structures of one name would be two groups of one name.
#[group(id = "signing")]
pub struct Args {
    /// What signs: `test` (a certificate made here), `pkcs12:FILE`, or a token's key as an RFC 7512 URI, `pkcs11:…`
    #[arg(long, value_name = "KEY", default_value = "test")]
    pub sign: Source,
    /// A folder with a test certificate made earlier [default: .keys/ in the sources, made if missing]
    #[arg(long, value_name = "FOLDER")]
    pub keys: Option<PathBuf>,
    /// A file whose first line is the password of the PKCS#12 file, or the token's PIN [default: WINPV_SIGN_PASSWORD]
    #[arg(long, value_name = "FILE")]
    pub sign_password_file: Option<PathBuf>,
    /// The certificate of a token's key and those above it, PEM
    #[arg(long, value_name = "FILE")]
    pub sign_certificate: Option<PathBuf>,
    /// The token's PKCS#11 module [default: p11-kit-proxy.so]
    #[arg(long, value_name = "FILE")]
    pub pkcs11_module: Option<PathBuf>,
    /// A time stamp authority (RFC 3161) that proves when a signature was made; two runs then differ
    #[arg(long, value_name = "URL")]
    pub timestamp: Option<String>,
}

/// What signs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Source {
    /// A certificate made on this machine, which Windows trusts only where its root was installed and testsigning is on.
    #[default]
    Test,
    /// A file with key and certificates.
    Pkcs12(PathBuf),
    /// A key that does not leave its token. // RFC 7512
    Pkcs11(String),
}

impl FromStr for Source {
    type Err = String;

    fn from_str(text: &str) -> Result<Source, String> {
        match text.split_once(':') {
            None if text == "test" => Ok(Source::Test),
            Some(("pkcs12", file)) if !file.is_empty() => Ok(Source::Pkcs12(file.into())),
            // RFC 7512 §2.3 allows it, but every user of the machine can read a command line.
            Some(("pkcs11", rest)) if rest.contains("pin-value=") => Err(
                "leave the PIN out of the URI: put it into WINPV_SIGN_PASSWORD, or into a file named by --sign-password-file"
                    .to_owned(),
            ),
            Some(("pkcs11", rest)) if !rest.is_empty() => Ok(Source::Pkcs11(text.to_owned())),
            _ => Err("expected test, pkcs12:FILE or a URI that starts with pkcs11:".to_owned()),
        }
    }
}

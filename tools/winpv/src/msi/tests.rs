//! Which class an MSI gets.

use winpv_inject::trust::Trust;

use super::weakest;

#[test]
fn the_weakest_signature_counts() {
    let of = |signatures: &[Trust]| {
        let named: Vec<_> = signatures.iter().map(|trust| ("a.sys", *trust)).collect();
        weakest(&named).map_err(|error| error.to_string())
    };
    assert_eq!(of(&[Trust::Whcp]), Ok("whcp"));
    assert_eq!(of(&[Trust::Whcp, Trust::Attestation]), Ok("attestation"));
    for other in [Trust::Attestation, Trust::Whcp] {
        assert_eq!(of(&[other, Trust::Test]), Ok("test"));
        let refused = of(&[other, Trust::Unsigned]).unwrap_err();
        assert!(refused.contains("a.sys is not signed"), "{refused}");
    }
    assert!(of(&[]).unwrap_err().contains("no driver"));
}

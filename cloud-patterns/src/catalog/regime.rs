//! Names of compliance regimes and of blocs of countries.
//!
//! The rules by which the built-in snapshot attests a regime are written down in `data/catalog/README.md`.

use super::CatalogRegion;

/// The regimes that requirements may always name, whether a region attests them or not.
pub const KNOWN_REGIMES: [&str; 8] =
    ["FEDRAMP", "FEDRAMP-HIGH", "FEDRAMP-MODERATE", "GDPR", "HIPAA", "ISO27001", "PCI-DSS", "SOC2"];

/// Member states of the European Union.
const EU: [&str; 27] = [
    "AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU", "IE", "IT",
    "LT", "LU", "LV", "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK",
];

/// The blocs that requirements may name.
const BLOCS: [&str; 3] = ["EEA", "EFTA", "EU"];

/// The one name of a regime, however it is written: upper case, with `-` for spaces.
///
/// ```
/// use cloud_patterns::catalog::canonical_regime;
/// assert_eq!(canonical_regime("pci"), "PCI-DSS");
/// assert_eq!(canonical_regime("PCI DSS"), "PCI-DSS");
/// assert_eq!(canonical_regime("soc 2 type II"), "SOC2");
/// assert_eq!(canonical_regime("Our own"), "OUR-OWN");
/// ```
pub fn canonical_regime(text: &str) -> String {
    let upper = text.trim().to_uppercase();
    let letters: String = upper.chars().filter(|c| c.is_alphanumeric()).collect();
    let known = match letters.as_str() {
        "GDPR" | "DSGVO" | "RGPD" | "EUGDPR" => "GDPR",
        "HIPAA" | "HIPAABAA" | "HIPAAHITECH" => "HIPAA",
        "PCI" | "PCIDSS" => "PCI-DSS",
        "FEDRAMP" => "FEDRAMP",
        "FEDRAMPHIGH" => "FEDRAMP-HIGH",
        "FEDRAMPMODERATE" => "FEDRAMP-MODERATE",
        "SOC2" | "SOCII" | "SOC2TYPE2" | "SOC2TYPEII" => "SOC2",
        "ISO27001" | "ISOIEC27001" => "ISO27001",
        _ => {
            return upper.split([' ', '_']).filter(|w| !w.is_empty()).collect::<Vec<_>>().join("-");
        }
    };
    known.to_owned()
}

/// The blocs that a country counts to, by its ISO 3166-1 alpha-2 code: `EU` (the member states of the European Union), `EFTA`
/// (Iceland, Liechtenstein, Norway, Switzerland) and `EEA` (the European Union, Iceland, Liechtenstein and Norway).
///
/// ```
/// use cloud_patterns::catalog::blocs_of;
/// assert_eq!(blocs_of("DE"), ["EEA", "EU"]);
/// assert_eq!(blocs_of("CH"), ["EFTA"]);
/// assert!(blocs_of("US").is_empty());
/// ```
pub fn blocs_of(country: &str) -> &'static [&'static str] {
    match country {
        "IS" | "LI" | "NO" => &["EEA", "EFTA"],
        "CH" => &["EFTA"],
        country if EU.contains(&country) => &["EEA", "EU"],
        _ => &[],
    }
}

/// The blocs that [`blocs_of`] knows, sorted.
///
/// ```
/// assert_eq!(cloud_patterns::catalog::known_blocs(), ["EEA", "EFTA", "EU"]);
/// ```
pub fn known_blocs() -> &'static [&'static str] {
    &BLOCS
}

impl CatalogRegion {
    /// Whether the provider attests a regime for it, however the regime is written.
    pub fn attests(&self, regime: &str) -> bool {
        let regime = canonical_regime(regime);
        self.compliance.contains(&regime)
    }

    /// Whether it lies in a country (by ISO 3166-1 alpha-2 code) or bloc; upper and lower case are one.
    pub fn lies_in(&self, country_or_bloc: &str) -> bool {
        let wanted = country_or_bloc.trim();
        let mut places = self.country.iter().chain(&self.residency);
        places.any(|place| place.eq_ignore_ascii_case(wanted))
    }
}

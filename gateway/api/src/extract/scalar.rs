//! Single values. Each reader answers with the rule that was broken, to be prefixed with the field's name; the
//! value itself is never repeated.

use gateway_chains::evm::{address as evm_address, amount};
use gateway_domain::{
    Address, B256, Timestamp, U256,
    chain::{CHAIN_ID_MAX, ChainId},
    transactions::ExecutionType,
};
use time::{OffsetDateTime, UtcOffset, format_description::well_known::Rfc3339};

use crate::extract::Json;

type Read<T> = Result<T, String>;

fn fault<T>(rule: &str) -> Read<T> {
    Err(rule.to_owned())
}

/// Text of any shape, to be read by a rule of its own.
pub(crate) fn text(json: &Json) -> Read<&str> {
    match json {
        Json::Text(text) => Ok(text),
        other => Err(format!("must be a string, not {}", other.kind())),
    }
}

pub(crate) fn boolean(json: &Json) -> Read<bool> {
    match json {
        Json::Bool(value) => Ok(*value),
        other => Err(format!("must be true or false, not {}", other.kind())),
    }
}

/// As far as `int64` reaches, which is what the document says.
pub(crate) fn integer(json: &Json) -> Read<u64> {
    let rule = "must be a whole number between 0 and 9223372036854775807";
    match json {
        Json::Number(number) => {
            let found = number.as_u64().filter(|number| i64::try_from(*number).is_ok());
            found.ok_or_else(|| rule.to_owned())
        }
        other => Err(format!("{rule}, not {}", other.kind())),
    }
}

pub(crate) fn address(json: &Json) -> Read<Address> {
    address_text(text(json)?)
}

pub(crate) fn address_text(text: &str) -> Read<Address> {
    evm_address::parse(text).or_else(|_| fault("must be `0x` and 40 hexadecimal digits"))
}

pub(crate) fn bytes32(json: &Json) -> Read<B256> {
    bytes32_text(text(json)?)
}

pub(crate) fn bytes32_text(text: &str) -> Read<B256> {
    let mut bytes = [0; 32];
    let digits = text.strip_prefix("0x").filter(|digits| hex::decode_to_slice(digits, &mut bytes).is_ok());
    match digits {
        Some(_) => Ok(B256::new(bytes)),
        None => fault("must be `0x` and 64 hexadecimal digits"),
    }
}

/// An amount in wei. Only text: a JSON number may be rounded on its way.
pub(crate) fn wei(json: &Json) -> Read<U256> {
    match json {
        Json::Text(text) => amount::parse_wei(text).or_else(|error| match error {
            amount::AmountError::Shape => fault("must be decimal digits without sign or leading zero"),
            amount::AmountError::TooLarge => fault("must be below 2^256"),
        }),
        other => Err(format!("must be a string of decimal digits, not {}", other.kind())),
    }
}

/// Decimal digits of a number below 2^64.
pub(crate) fn counter(json: &Json) -> Read<u64> {
    let rule = "must be decimal digits of a number below 2^64";
    wei(json)
        .and_then(|number| u64::try_from(number).map_err(|_| rule.to_owned()))
        .map_err(|_| rule.to_owned())
}

/// Text of this many bytes, taken as it is.
pub(crate) fn text_within(min: usize, max: usize) -> impl Fn(&Json) -> Read<String> {
    move |json| {
        let text = text(json)?;
        if (min..=max).contains(&text.len()) {
            Ok(text.to_owned())
        } else {
            Err(format!("must have {min} to {max} bytes"))
        }
    }
}

/// The number of a verification service.
pub(crate) fn service_number(json: &Json) -> Read<u32> {
    let number = integer(json).ok().and_then(|number| u32::try_from(number).ok());
    number.filter(|number| *number > 0).ok_or_else(|| "must be a whole number of at least 1".to_owned())
}

/// `0x` and pairs of hexadecimal digits, at most `bytes_max` bytes.
pub(crate) fn bytes(bytes_max: usize) -> impl Fn(&Json) -> Read<Vec<u8>> {
    move |json| {
        let text = text(json)?;
        if text.len() > 2 + 2 * bytes_max {
            return Err(format!("must be at most {bytes_max} bytes"));
        }
        let decoded = text.strip_prefix("0x").and_then(|digits| hex::decode(digits).ok());
        decoded.ok_or_else(|| "must be `0x` and pairs of hexadecimal digits".to_owned())
    }
}

/// As [`bytes`], with or without `0x`.
pub(crate) fn hexadecimal(bytes_max: usize) -> impl Fn(&Json) -> Read<Vec<u8>> {
    move |json| {
        let text = text(json)?;
        let digits = text.strip_prefix("0x").unwrap_or(text);
        if digits.len() > 2 * bytes_max {
            return Err(format!("must be at most {bytes_max} bytes"));
        }
        hex::decode(digits).map_err(|_| "must be pairs of hexadecimal digits".to_owned())
    }
}

/// A number of the `eip155` namespace.
pub(crate) fn chain(json: &Json) -> Read<ChainId> {
    let number = whole(1, CHAIN_ID_MAX)(json)?;
    ChainId::eip155(number).map_err(|fault| fault.to_string())
}

/// Text of `min` to `max` characters without control characters.
pub(crate) fn plain_text(min: usize, max: usize) -> impl Fn(&Json) -> Read<String> {
    move |json| {
        let text = text(json)?;
        let length = text.chars().count();
        if length < min || length > max {
            return Err(format!("must have {min} to {max} characters"));
        }
        if text.chars().any(char::is_control) {
            return fault("must not contain control characters");
        }
        Ok(text.to_owned())
    }
}

/// Text of at most `max` characters that may have line breaks and tabs.
pub(crate) fn prose(max: usize) -> impl Fn(&Json) -> Read<String> {
    move |json| {
        let text = text(json)?;
        if text.chars().count() > max {
            return Err(format!("must have at most {max} characters"));
        }
        if text.chars().any(|character| character.is_control() && !matches!(character, '\n' | '\r' | '\t')) {
            return fault("must not contain control characters other than line breaks and tabs");
        }
        Ok(text.to_owned())
    }
}

/// One `@` between a local part and a domain with a dot, at most the 255 characters that PKCS #9 has for it in a
/// certificate request. Whether mail arrives is another question.
pub(crate) fn email(json: &Json) -> Read<String> {
    let text = text(json)?;
    let shaped = text.split_once('@').is_some_and(|(local, domain)| {
        !local.is_empty()
            && domain.split('.').count() >= 2
            && domain.split('.').all(|label| !label.is_empty())
            && domain.chars().all(|character| character.is_alphanumeric() || matches!(character, '.' | '-'))
    });
    let clean = !text.chars().any(|character| character.is_control() || character.is_whitespace());
    if shaped && clean && text.len() <= 255 {
        Ok(text.to_owned())
    } else {
        fault("must be an e-mail address")
    }
}

/// A share of one as parts per million. The API says it as a JSON number from 0 to 1.
pub(crate) fn confidence(json: &Json) -> Read<u32> {
    let rule = "must be a number between 0 and 1";
    let number = match json {
        Json::Number(number) => number.as_f64().ok_or_else(|| rule.to_owned())?,
        other => return Err(format!("{rule}, not {}", other.kind())),
    };
    if !(0.0..=1.0).contains(&number) {
        return fault(rule);
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rounded number between 0 and a million"
    )]
    let parts = (number * 1_000_000.0).round() as u32;
    Ok(parts)
}

/// An identifier of any kind.
pub(crate) fn uuid<T: std::str::FromStr>(json: &Json) -> Read<T> {
    text(json)?.parse().or_else(|_| fault("must be a UUID"))
}

/// RFC 3339 with any offset; shown in UTC, where it must have a year as well.
pub(crate) fn time(json: &Json) -> Read<Timestamp> {
    let parsed = OffsetDateTime::parse(text(json)?, &Rfc3339).map_err(|_| "must be an RFC 3339 time")?;
    let in_utc = parsed.checked_to_offset(UtcOffset::UTC).filter(|time| (0..=9999).contains(&time.year()));
    let time = in_utc.ok_or("must lie in the years 0000 to 9999 of UTC")?;
    let micros = i64::try_from(time.unix_timestamp_nanos().div_euclid(1_000));
    Ok(Timestamp::from_unix_micros(micros.map_err(|error| error.to_string())?))
}

/// A number within `min..=max`, written in decimal digits as query parameters are.
pub(crate) fn count(min: u32, max: u32) -> impl Fn(&Json) -> Read<u32> {
    move |json| {
        let number = counter(json).ok().and_then(|number| u32::try_from(number).ok());
        number.filter(|number| (min..=max).contains(number)).ok_or_else(|| format!("must be {min} to {max}"))
    }
}

/// A JSON number within `min..=max`.
pub(crate) fn whole(min: u64, max: u64) -> impl Fn(&Json) -> Read<u64> {
    move |json| {
        let number = integer(json).ok().filter(|number| (min..=max).contains(number));
        number.ok_or_else(|| format!("must be a whole number between {min} and {max}"))
    }
}

/// One of the words in `choices`, as what it stands for.
pub(crate) fn choice<T: Copy>(choices: &[(&'static str, T)]) -> impl Fn(&Json) -> Read<T> {
    move |json| {
        let text = text(json)?;
        let found = choices.iter().find(|(word, _)| *word == text);
        found.map(|(_, value)| *value).ok_or_else(|| {
            let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
            format!("must be one of {}", words.join(", "))
        })
    }
}

/// Who executes, by its number in the core contract.
pub(crate) fn execution_type(json: &Json) -> Read<ExecutionType> {
    let types =
        [(0, ExecutionType::DirectUser), (1, ExecutionType::UserExecuted), (2, ExecutionType::AgentExecuted)];
    numbered(&types)(json)
}

/// One of the numbers in `choices`, as what it stands for.
pub(crate) fn numbered<T: Copy>(choices: &[(u64, T)]) -> impl Fn(&Json) -> Read<T> {
    move |json| {
        let number = integer(json).ok();
        let found = choices.iter().find(|(choice, _)| Some(*choice) == number);
        found.map(|(_, value)| *value).ok_or_else(|| {
            let numbers: Vec<String> = choices.iter().map(|(choice, _)| choice.to_string()).collect();
            format!("must be one of {}", numbers.join(", "))
        })
    }
}

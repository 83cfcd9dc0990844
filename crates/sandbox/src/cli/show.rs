//! What the command line prints.

use std::collections::BTreeMap;
use std::io::Write;

use serde::Serialize;
use serde_json::Value;

use crate::faults::Fault;
use crate::inbox::{Channel, Message, Via};
use crate::okta::{Asked, By, Delivery, OktaCall, SendReport, Turn};
use crate::provider::ProviderCall;

pub(super) fn json(out: &mut dyn Write, value: &impl Serialize) -> anyhow::Result<()> {
    writeln!(out, "{}", serde_json::to_string_pretty(value)?)?;
    Ok(())
}

pub(super) fn report(out: &mut dyn Write, report: &SendReport) -> anyhow::Result<()> {
    let headline = match report.delivery {
        Delivery::Hook => "delivered by the hook",
        Delivery::HookPending => "the hook does not know (PENDING); Okta does nothing more",
        Delivery::OktaFallback => "the hook did not deliver; Okta's own sender did",
        Delivery::Okta => "no hook is active; Okta's own sender sent it",
        Delivery::Denied => "not delivered: Okta's own sender refused (DENY)",
        Delivery::Nobody => "not delivered: Okta has no sender of its own",
    };
    writeln!(out, "{headline}")?;
    let Some(hook) = &report.hook else {
        return Ok(());
    };
    writeln!(out, "  hook         {} ({})", hook.name, hook.id)?;
    if let Some(status) = hook.status {
        let status = serde_json::to_value(status)?;
        writeln!(out, "  status       {}", status.as_str().unwrap_or_default())?;
    }
    for (label, value) in [
        ("provider", &hook.provider),
        ("transaction", &hook.transaction_id),
        ("remark", &hook.transaction_metadata),
        ("failure", &hook.error_message),
    ] {
        if let Some(value) = value {
            writeln!(out, "  {label:<12} {value}")?;
        }
    }
    writeln!(out, "  took         {} ms", hook.duration_ms)?;
    Ok(())
}

pub(super) fn inbox(out: &mut dyn Write, messages: &[Message]) -> anyhow::Result<()> {
    if messages.is_empty() {
        writeln!(out, "no messages")?;
        return Ok(());
    }
    for message in messages {
        let channel = match message.channel {
            Channel::Sms => "sms",
            Channel::Voice => "voice",
        };
        let via = match message.via {
            Via::Provider => message.provider.as_str(),
            Via::OktaFallback => "okta-fallback",
            Via::Okta => "okta",
        };
        let times = if message.said > 1 { format!(" (said {} times)", message.said) } else { String::new() };
        writeln!(
            out,
            "{:.3}  {channel:<5}  {}  via {via}  from {}  {:?}{times}",
            message.at,
            message.to,
            message.from.as_deref().unwrap_or("-"),
            message.text,
        )?;
    }
    Ok(())
}

pub(super) fn faults(out: &mut dyn Write, provider: &str, faults: &[Fault]) -> anyhow::Result<()> {
    if faults.is_empty() {
        writeln!(out, "{provider}: healthy")?;
    }
    for fault in faults {
        let area = fault.country.clone().map(String::from);
        write!(out, "{provider}: {}", serde_json::to_string(&fault.fault)?)?;
        if let Some(area) = area {
            write!(out, " for {area}")?;
        }
        if let Some(times) = fault.times {
            write!(out, " {times} more time(s)")?;
        }
        writeln!(out)?;
    }
    Ok(())
}

pub(super) fn log(out: &mut dyn Write, events: &[Value]) -> anyhow::Result<()> {
    if events.is_empty() {
        writeln!(out, "no events")?;
    }
    for event in events {
        let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or("-");
        let debug = |camel: &str, snake: &str| {
            let data = &event["debugContext"]["debugData"];
            data[camel].as_str().or_else(|| data[snake].as_str())
        };
        write!(out, "{}  {:<44} {:<7}", text("/published"), text("/eventType"), text("/outcome/result"))?;
        for (label, camel, snake) in [
            ("failover", "isSmsHookFailover", "is_sms_hook_failover"),
            ("failover", "isCallHookFailover", "is_call_hook_failover"),
            ("provider", "smsTelephonyProvider", "sms_telephony_provider"),
            ("provider", "callTelephonyProvider", "call_telephony_provider"),
            ("error", "errorMessage", "error_message"),
        ] {
            if let Some(value) = debug(camel, snake) {
                write!(out, "  {label}={value}")?;
            }
        }
        writeln!(out)?;
    }
    Ok(())
}

pub(super) fn hooks(out: &mut dyn Write, hooks: &[Value]) -> anyhow::Result<()> {
    if hooks.is_empty() {
        writeln!(out, "no hooks")?;
    }
    for hook in hooks {
        let text = |pointer: &str| hook.pointer(pointer).and_then(Value::as_str).unwrap_or("-");
        writeln!(out, "{}  {:<8}  {}  {}", text("/id"), text("/status"), text("/name"), text("/channel/config/uri"))?;
        for header in hook["channel"]["config"]["headers"].as_array().into_iter().flatten() {
            let part = |key: &str| header[key].as_str().unwrap_or("-");
            writeln!(out, "    {}: {}", part("key"), part("value"))?;
        }
    }
    Ok(())
}

pub(super) fn turns(out: &mut dyn Write, turns: &[Turn]) -> anyhow::Result<()> {
    if turns.is_empty() {
        writeln!(out, "no hook was ever active")?;
    }
    for turn in turns {
        let by = match turn.by {
            By::Client => "client",
            By::Admin => "admin",
        };
        let active = if turn.active.is_empty() { "none".to_owned() } else { turn.active.join(", ") };
        writeln!(out, "{:.3}  by {by:<6}  {active}", turn.at)?;
    }
    Ok(())
}

/// The most lost passcodes that are shown one by one.
const MOST_SHOWN: usize = 20;

pub(super) fn traffic(out: &mut dyn Write, all: &[Asked]) -> anyhow::Result<()> {
    let lost: Vec<_> = all.iter().filter_map(|asked| Some((asked.due, asked.lost()?))).collect();
    let served = all.len() - lost.len();
    let slowest = all.iter().map(|asked| asked.ms).max().unwrap_or_default();
    writeln!(out, "{} passcodes: {served} SUCCESSFUL by the hook in time, with one message each", all.len())?;
    writeln!(out, "the slowest {slowest} ms after it was due")?;
    for (due, why) in lost.iter().take(MOST_SHOWN) {
        writeln!(out, "lost: {due:.3}  {why}")?;
    }
    writeln!(out, "{} lost of {}", lost.len(), all.len())?;
    Ok(())
}

pub(super) fn calls(
    out: &mut dyn Write,
    providers: &BTreeMap<String, Vec<ProviderCall>>,
    okta: &[OktaCall],
) -> anyhow::Result<()> {
    let status = |status: Option<u16>| status.map_or("none".to_owned(), |s| s.to_string());
    for (provider, calls) in providers {
        for call in calls {
            let fault = match &call.fault {
                Some(fault) => serde_json::to_string(fault)?,
                None => "-".to_owned(),
            };
            writeln!(
                out,
                "{:.3}  {provider:<12} {:<7} {:<10} {:>4}  {}  {} ms  {fault}",
                call.at,
                call.what,
                call.to.as_deref().unwrap_or("-"),
                status(call.status),
                match (call.to.is_some(), call.delivered) {
                    (false, _) => "-",
                    (true, true) => "delivered",
                    (true, false) => "not delivered",
                },
                call.ms,
            )?;
        }
    }
    for call in okta {
        writeln!(
            out,
            "{:.3}  {:<12} {:<7} {} {:>4}  {}",
            call.at,
            "okta",
            call.method,
            call.path,
            status(call.status),
            call.request_id,
        )?;
    }
    Ok(())
}

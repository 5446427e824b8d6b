//! Requests that Windows sends seldom or never, and what a disk has to answer all the same.

use anyhow::{Context, Result, ensure};
use host_ntos::abi::STOR_DEVICE_CAPABILITIES as Capabilities;
use host_ntos::abi::enums::STOR_PNP_ACTION as pnp;
use host_storport::{Adapter, Address, Data, Function, Outcome, Request};

use crate::judge::{describe, refusal};

// Sense codes. // SPC-4 annex D
const INVALID_FIELD: (u8, u8, u8) = (5, 0x24, 0);
const INVALID_PARAMETER: (u8, u8, u8) = (5, 0x26, 0);
const SAVING_NOT_SUPPORTED: (u8, u8, u8) = (5, 0x39, 0);

/// SRB_FUNCTION_WMI, and a function that there is not. // storport.h
const WMI: u8 = 0x17;
const NO_FUNCTION: u8 = 0x7f;

/// Sends all of them.
///
/// # Errors
/// The first answer that is wrong.
pub fn all(adapter: &Adapter, address: Address) -> Result<()> {
    let disk = Disk { adapter, address };
    disk.functions().context("functions")?;
    disk.plug_and_play().context("SRB_FUNCTION_PNP")?;
    disk.sense().context("REQUEST SENSE")?;
    disk.opcodes().context("REPORT SUPPORTED OPERATION CODES")?;
    disk.pages().context("mode pages")?;
    disk.thin().context("what is asked of a thin disk")
}

struct Disk<'a> {
    adapter: &'a Adapter,
    address: Address,
}

impl Disk<'_> {
    fn send(&self, cdb: &[u8], data: Data) -> Result<Outcome> {
        Ok(self.adapter.execute(self.address, cdb, data)?)
    }

    fn answer(&self, cdb: &[u8]) -> Result<Vec<u8>> {
        let outcome = self.send(cdb, Data::In(255))?;
        ensure!(outcome.is_success(), "{cdb:02x?}: {}", describe(&outcome));
        let mut data = outcome.data;
        data.truncate(outcome.transferred as usize);
        Ok(data)
    }

    fn refused(&self, cdb: &[u8], data: Data, sense: (u8, u8, u8)) -> Result<()> {
        let outcome = self.send(cdb, data)?;
        refusal(cdb, &outcome, sense).map_err(anyhow::Error::msg)
    }

    /// What is not for a disk, and what is for a unit that is not there.
    fn functions(&self) -> Result<()> {
        for function in [WMI, NO_FUNCTION] {
            let request = Request::new(self.address, Function::Other(function), Data::None);
            let outcome = self.adapter.request(request)?;
            ensure!(
                !outcome.is_success(),
                "{function:#x}: {}",
                describe(&outcome)
            );
        }
        let none = Address {
            lun: 1,
            ..self.address
        };
        let inquiry = [0x12, 0, 0, 0, 36, 0];
        let outcome = self.adapter.execute(none, &inquiry, Data::In(36))?;
        ensure!(!outcome.is_success(), "unit 1: {}", describe(&outcome));
        // A page of vital product data that no disk has.
        self.refused(&[0x12, 1, 0x7f, 0, 36, 0], Data::In(36), INVALID_FIELD)
    }

    /// MS: ns-storport-_scsi_pnp_request_block, ns-storport-_stor_device_capabilities. What a miniport has nothing to say to ends with
    /// SRB_STATUS_INVALID_REQUEST, as in Microsoft's own one (Windows-driver-samples, storahci, AhciHwStartIo).
    fn plug_and_play(&self) -> Result<()> {
        /// SRB_STATUS_INVALID_REQUEST and SRB_STATUS_INVALID_LUN. // storport.h
        const INVALID_REQUEST: u8 = 0x06;
        const INVALID_LUN: u8 = 0x20;
        const SUCCESS: u8 = 0x01;
        const NO_ACTION: u32 = 0x55;
        let ask = |address, action, adapter, data| {
            let function = Function::Pnp { action, adapter };
            Ok::<_, anyhow::Error>(
                self.adapter
                    .request(Request::new(address, function, data))?,
            )
        };
        // A disk that is one object with its adapter is not removed from it.
        let filled = vec![0xff; Capabilities::SIZE];
        let told = ask(
            self.address,
            pnp::StorQueryCapabilities,
            false,
            Data::Both(filled),
        )?;
        ensure!(told.is_success(), "capabilities: {}", describe(&told));
        let removable = Capabilities::Removable.get(told.data.as_ptr().addr());
        ensure!(
            removable == 0,
            "a disk that can be removed from its adapter"
        );
        let elsewhere = Address {
            lun: 1,
            ..self.address
        };
        let none = || Data::None;
        let short = Data::Both(vec![0xff; Capabilities::SIZE - 1]);
        let full = || Data::Both(vec![0; Capabilities::SIZE]);
        for (address, action, adapter, data, status) in [
            (self.address, pnp::StorStartDevice, false, none(), SUCCESS),
            (self.address, pnp::StorStartDevice, true, none(), SUCCESS),
            (elsewhere, pnp::StorStartDevice, true, none(), SUCCESS),
            (elsewhere, pnp::StorStartDevice, false, none(), INVALID_LUN),
            (
                self.address,
                pnp::StorQueryCapabilities,
                false,
                short,
                INVALID_REQUEST,
            ),
            (
                self.address,
                pnp::StorQueryCapabilities,
                false,
                none(),
                INVALID_REQUEST,
            ),
            (
                self.address,
                pnp::StorQueryCapabilities,
                true,
                full(),
                SUCCESS,
            ),
            (
                self.address,
                pnp::StorQueryResourceRequirements,
                true,
                none(),
                INVALID_REQUEST,
            ),
            (
                self.address,
                pnp::StorFilterResourceRequirements,
                true,
                full(),
                INVALID_REQUEST,
            ),
            (self.address, NO_ACTION, false, full(), INVALID_REQUEST),
            (self.address, NO_ACTION, true, none(), INVALID_REQUEST),
        ] {
            let told = ask(address, action, adapter, data)?;
            ensure!(
                told.srb_status() == status,
                "action {action:#x}, adapter {adapter}: {}",
                describe(&told)
            );
        }
        Ok(())
    }

    fn sense(&self) -> Result<()> {
        let fixed = self.answer(&[0x03, 0, 0, 0, 252, 0])?;
        ensure!(
            fixed[0] & 0x7f == 0x70 && fixed[2] & 0x0f == 0,
            "{fixed:02x?}"
        );
        let descriptors = self.answer(&[0x03, 1, 0, 0, 252, 0])?;
        ensure!(
            descriptors[0] & 0x7f == 0x72 && descriptors[1] & 0x0f == 0,
            "{descriptors:02x?}"
        );
        Ok(())
    }

    /// Whether one command is supported. // SPC-4 §6.35
    fn opcodes(&self) -> Result<()> {
        let ask = |option: u8, operation: u8, action: u8| {
            [0xa3, 0x0c, option, operation, 0, action, 0, 0, 0, 255, 0, 0]
        };
        const NOT_SUPPORTED: u8 = 1;
        const SUPPORTED: u8 = 3;
        for (option, operation, action, support) in [
            // INQUIRY, READ CAPACITY(16), another service action of its operation, PERSISTENT RESERVE OUT.
            (1, 0x12, 0, SUPPORTED),
            (2, 0x9e, 0x10, SUPPORTED),
            (2, 0x9e, 0x1f, NOT_SUPPORTED),
            (3, 0x9e, 0x10, SUPPORTED),
            (3, 0x12, 0, SUPPORTED),
            (1, 0x5f, 0, NOT_SUPPORTED),
        ] {
            let one = self.answer(&ask(option, operation, action))?;
            ensure!(
                one[1] & 7 == support,
                "option {option}, {operation:#x}/{action:#x}: {one:02x?}"
            );
            if support == SUPPORTED {
                ensure!(one[4] == operation, "{one:02x?}");
            }
        }
        // One with service actions asked for without, one without asked for with, and an option that there is not.
        for cdb in [ask(1, 0x9e, 0), ask(2, 0x12, 0), ask(5, 0x12, 0)] {
            self.refused(&cdb, Data::In(255), INVALID_FIELD)?;
        }
        Ok(())
    }

    /// The ten-byte forms with a block descriptor, sent back as it came and changed. // SPC-4 §6.10, §6.12; SBC-4 §6.5.2
    fn pages(&self) -> Result<()> {
        const HEADER: usize = 8;
        let sense = [0x5a, 0, 0x08, 0, 0, 0, 0, 0, 255, 0];
        let mut list = self.answer(&sense)?;
        ensure!(list[7] == 8, "no block descriptor: {list:02x?}");
        // Reserved in MODE SELECT: the length, what is particular to the device, and whether a page can be saved.
        list[..2].fill(0);
        list[3] = 0;
        list[HEADER + 8] &= 0x7f;
        let select = [0x55, 0x10, 0, 0, 0, 0, 0, 0, list.len() as u8, 0];
        let outcome = self.send(&select, Data::Out(list.clone()))?;
        ensure!(outcome.is_success(), "{}", describe(&outcome));
        // A long descriptor, two of them, another block length, another number of blocks.
        for (at, value) in [
            (4, 1),
            (6, 1),
            (7, 16),
            (HEADER + 6, 0x7e),
            (HEADER + 3, 0x55),
        ] {
            let mut list = list.clone();
            list[at] = value;
            self.refused(&select, Data::Out(list), INVALID_PARAMETER)?;
        }
        let saved = [0x1a, 8, 0xc8, 0, 255, 0];
        self.refused(&saved, Data::In(255), SAVING_NOT_SUPPORTED)?;
        self.refused(&[0x1a, 8, 0x2e, 0, 255, 0], Data::In(255), INVALID_FIELD)
    }

    /// What Windows' class driver asks of a thin disk at each start, and when it is asked how full the disk is.
    /// Windows-driver-samples, classpnp: ClasspZeroQERR, ClassGetLBProvisioningLogPage
    fn thin(&self) -> Result<()> {
        const LENGTH: u8 = 192;
        const HEADER: usize = 4;
        /// Byte and bits of QERR in the control page. // storport.h, MODE_CONTROL_PAGE
        const QERR: (usize, u8) = (3, 0x06);
        let control = [0x1a, 0, 0x0a, 0, LENGTH, 0];
        let mut list = self.answer(&control)?;
        let page = HEADER + usize::from(list[3]);
        ensure!(
            list[page] & 0x3f == 0x0a && list[page + QERR.0] & QERR.1 == 0,
            "{list:02x?}"
        );
        let changeable = self.answer(&[0x1a, 8, 0x4a, 0, LENGTH, 0])?;
        ensure!(
            changeable[HEADER + 2..].iter().all(|&byte| byte == 0),
            "{changeable:02x?}"
        );
        list[..3].fill(0);
        list[page] &= 0x7f;
        let select = [0x15, 0x10, 0, 0, list.len() as u8, 0];
        let outcome = self.send(&select, Data::Out(list.clone()))?;
        ensure!(outcome.is_success(), "{}", describe(&outcome));
        list[page + QERR.0] |= QERR.1;
        self.refused(&select, Data::Out(list), INVALID_PARAMETER)?;
        // The page is none of those that the disk lists; neither does it know threshold values, which PC 0 asks for. // SPC-5 §6.8
        for control in [0x00, 0x40] {
            let log = [0x4d, 0, control | 0x0c, 0, 0, 0, 0, 0, 255, 0];
            self.refused(&log, Data::In(255), INVALID_FIELD)?;
        }
        Ok(())
    }
}

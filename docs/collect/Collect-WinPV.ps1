#Requires -Version 5.1
<#
.SYNOPSIS
Collects what this Windows made of WinPV's drivers into one JSON file. Changes nothing.

.DESCRIPTION
Reads settings, logs, devices and driver packages and writes one new file. Each item says ok, failed or not-run, and why.
docs/verification.md says which step of a test to run before, and what the items are to show; report.schema.json describes the file.
Run it as administrator: without that, several items are not-run.

.PARAMETER Output
The file to write. It must not exist.

.PARAMETER MsiLog
Logs that msiexec wrote (/l*v FILE), to be summed up in the report; commas between several.

.PARAMETER Days
How far back events are read.

.EXAMPLE
powershell -ExecutionPolicy Bypass -File Collect-WinPV.ps1 -Output report.json -MsiLog install.log
#>
[CmdletBinding()]
param(
    [string] $Output = 'winpv-report.json',
    [string[]] $MsiLog = @(),
    [int] $Days = 7
)

# MS: Set-StrictMode, about_Preference_Variables ($ErrorActionPreference).
Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'

# What the pack installs: services, and the INF files' names before Windows renames them to oemN.inf.
$Services = @('vioblk', 'viostor')
$Infs = @('vioblk.inf', 'viostor.inf')
$Provider = 'WinPV'
# The longest part of a log that goes into the report.
$LineLimit = 4000

$Report = [ordered]@{}

# With -File, a list of names arrives as one text.
$MsiLog = @($MsiLog | ForEach-Object { $_.Split(',') })
$Path = $ExecutionContext.SessionState.Path.GetUnresolvedProviderPathFromPSPath($Output)
if (Test-Path -LiteralPath $Path) {
    throw "$Path is there already: choose another name with -Output"
}

# Runs one part; whatever it throws becomes the reason, and the rest goes on.
function Add-Result([string] $Id, [scriptblock] $Work) {
    try {
        $data = & $Work
        $Report[$Id] = [ordered]@{ state = 'ok'; reason = ''; data = $data }
    } catch {
        $message = $_.Exception.Message
        if ($message.StartsWith('not-run: ')) {
            $Report[$Id] = [ordered]@{ state = 'not-run'; reason = $message.Substring(9) }
        } else {
            $Report[$Id] = [ordered]@{ state = 'failed'; reason = $message }
        }
    }
}

# A program's lines and exit code. Its errors are lines like the others: in Windows PowerShell 5.1 they would stop the script.
# MS: Get-Command, about_Automatic_Variables ($LASTEXITCODE), ForEach-Object.
function Get-ProgramOutput([string] $Program, [string[]] $Arguments) {
    if (-not (Get-Command -Name $Program -CommandType Application -ErrorAction SilentlyContinue)) {
        throw "not-run: there is no $Program"
    }
    $ErrorActionPreference = 'Continue'
    $lines = @(& $Program @Arguments 2>&1 | ForEach-Object { "$_" })
    [ordered]@{ command = "$Program $($Arguments -join ' ')"; exit = $LASTEXITCODE; lines = $lines }
}

# The last lines of a text file. MS: Test-Path, Get-Content (-Tail).
function Get-Tail([string] $Path) {
    if (-not (Test-Path -LiteralPath $Path)) {
        throw "not-run: there is no $Path"
    }
    [ordered]@{ path = $Path; lines = @(Get-Content -LiteralPath $Path -Tail $LineLimit | ForEach-Object { "$_" }) }
}

# Events as plain data. MS: Get-WinEvent, Where-Object.
function Get-EventList([hashtable] $Filter, [string[]] $Providers) {
    try {
        $found = @(Get-WinEvent -FilterHashtable $Filter)
    } catch {
        # Documented as an error, but for us it is an answer.
        if ($_.FullyQualifiedErrorId -like 'NoMatchingEventsFound*') {
            $found = @()
        } else {
            throw
        }
    }
    if ($Providers.Count -gt 0) {
        $found = @($found | Where-Object { $Providers -contains $_.ProviderName })
    }
    @($found | ForEach-Object {
            [ordered]@{
                time = $_.TimeCreated.ToUniversalTime().ToString('o')
                provider = $_.ProviderName
                id = $_.Id
                level = $_.Level
                message = "$($_.Message)"
            }
        })
}

# Our packages in the driver store. MS: Get-WindowsDriver (-Online).
function Get-OwnPackage {
    @(Get-WindowsDriver -Online | Where-Object { $_.ProviderName -eq $Provider })
}

# The files of those packages, which lie beside the INF. MS: Split-Path, Get-ChildItem.
function Get-OwnFile {
    @(Get-OwnPackage | ForEach-Object {
            Get-ChildItem -LiteralPath (Split-Path -Parent $_.OriginalFileName) -File
        })
}

# An elevated prompt is what several parts need. MS: WindowsPrincipal.IsInRole (.NET).
$Principal = New-Object -TypeName Security.Principal.WindowsPrincipal -ArgumentList ([Security.Principal.WindowsIdentity]::GetCurrent())
$Elevated = $Principal.IsInRole([Security.Principal.WindowsBuiltInRole]::Administrator)

function Assert-Elevated {
    if (-not $Elevated) {
        throw 'not-run: not an administrator'
    }
}

# MS: Get-CimInstance; Win32_OperatingSystem (Caption, Version, BuildNumber, OSArchitecture, ProductType, OperatingSystemSKU);
# Get-ItemProperty.
Add-Result 'os' {
    $os = Get-CimInstance -ClassName Win32_OperatingSystem
    $current = Get-ItemProperty -LiteralPath 'HKLM:\SOFTWARE\Microsoft\Windows NT\CurrentVersion'
    [ordered]@{
        caption = $os.Caption
        version = $os.Version
        build = $os.BuildNumber
        revision = $current.UBR
        edition = $current.EditionID
        sku = $os.OperatingSystemSKU
        product_type = $os.ProductType
        architecture = $os.OSArchitecture
        powershell = "$($PSVersionTable.PSVersion)"
        administrator = $Elevated
    }
}

# MS: Confirm-SecureBootUEFI: true, false, or, on a machine that has no Secure Boot, a message in the language of that Windows.
Add-Result 'secure_boot' {
    Assert-Elevated
    try {
        [ordered]@{ enabled = [bool](Confirm-SecureBootUEFI) }
    } catch {
        throw "not-run: Confirm-SecureBootUEFI: $($_.Exception.Message)"
    }
}

# MS: "BCDEdit /enum", "The TESTSIGNING boot configuration option". Option names are not translated, values may be.
Add-Result 'boot_entry' {
    Assert-Elevated
    Get-ProgramOutput 'bcdedit.exe' @('/enum', '{current}')
}

# MS: "Enable virtualization-based protection of code integrity": the class Win32_DeviceGuard and its values
# (SecurityServicesRunning 2: memory integrity; AvailableSecurityProperties 3: DMA protection).
Add-Result 'device_guard' {
    $guard = Get-CimInstance -ClassName Win32_DeviceGuard -Namespace 'root\Microsoft\Windows\DeviceGuard'
    [ordered]@{
        available = @($guard.AvailableSecurityProperties)
        required = @($guard.RequiredSecurityProperties)
        configured = @($guard.SecurityServicesConfigured)
        running = @($guard.SecurityServicesRunning)
        vbs = $guard.VirtualizationBasedSecurityStatus
    }
}

# MS: Get-WindowsDriver; Get-FileHash.
Add-Result 'packages' {
    Assert-Elevated
    $packages = @(Get-OwnPackage | ForEach-Object {
            [ordered]@{
                name = $_.Driver
                inf = $_.OriginalFileName
                class = $_.ClassName
                version = "$($_.Version)"
                boot_critical = $_.BootCritical
            }
        })
    $files = @(Get-OwnFile | ForEach-Object {
            $hash = Get-FileHash -LiteralPath $_.FullName -Algorithm SHA256
            [ordered]@{ path = $_.FullName; size = $_.Length; sha256 = $hash.Hash.ToLowerInvariant() }
        })
    [ordered]@{ packages = $packages; files = $files }
}

# MS: "PnPUtil command syntax": /enum-drivers from Windows 10 1607 on. /files, from Windows 11 22H2 on, is left out for that reason.
Add-Result 'pnputil' {
    Assert-Elevated
    Get-ProgramOutput 'pnputil.exe' @('/enum-drivers')
}

# MS: Get-AuthenticodeSignature: with both kinds of signature it reports the catalog's. Test-FileCatalog is not used: its page
# describes the catalogs of New-FileCatalog and says nothing of driver packages.
Add-Result 'signatures' {
    Assert-Elevated
    $files = @(Get-OwnFile | ForEach-Object {
            $signature = Get-AuthenticodeSignature -LiteralPath $_.FullName
            $subject = $null
            $thumbprint = $null
            if ($signature.SignerCertificate) {
                $subject = $signature.SignerCertificate.Subject
                $thumbprint = $signature.SignerCertificate.Thumbprint
            }
            [ordered]@{
                path = $_.FullName
                status = "$($signature.Status)"
                message = $signature.StatusMessage
                kind = "$($signature.SignatureType)"
                subject = $subject
                thumbprint = $thumbprint
                time_stamped = [bool]$signature.TimeStamperCertificate
            }
        })
    [ordered]@{ files = $files }
}

# MS: Get-PnpDevice; Get-PnpDeviceProperty; DEVPKEY_Device_ProblemCode and the pages of the other keys. Virtio 1.3, 4.1.2: vendor 1AF4.
Add-Result 'devices' {
    $keys = @('DEVPKEY_Device_ProblemCode', 'DEVPKEY_Device_ProblemStatus', 'DEVPKEY_Device_Service', 'DEVPKEY_Device_DriverInfPath',
        'DEVPKEY_Device_DriverVersion', 'DEVPKEY_Device_DriverProvider', 'DEVPKEY_Device_HardwareIds')
    $devices = @(Get-PnpDevice -PresentOnly | Where-Object { $_.InstanceId -like 'PCI\VEN_1AF4*' } | ForEach-Object {
            $properties = [ordered]@{}
            foreach ($property in @(Get-PnpDeviceProperty -InstanceId $_.InstanceId -KeyName $keys)) {
                $properties[$property.KeyName] = $property.Data
            }
            [ordered]@{
                id = $_.InstanceId
                name = $_.FriendlyName
                class = $_.Class
                status = "$($_.Status)"
                properties = $properties
            }
        })
    [ordered]@{ devices = $devices }
}

# MS: Win32_SystemDriver (Name, State, StartMode, PathName, ErrorControl).
Add-Result 'services' {
    $drivers = @(Get-CimInstance -ClassName Win32_SystemDriver | Where-Object { $Services -contains $_.Name } | ForEach-Object {
            [ordered]@{
                name = $_.Name
                state = $_.State
                start = $_.StartMode
                path = $_.PathName
                error_control = $_.ErrorControl
            }
        })
    [ordered]@{ services = $drivers }
}

# MS: Get-PhysicalDisk, MSFT_PhysicalDisk; Get-Disk; DEVPKEY_Device_Parent, DEVPKEY_Device_Service: the driver that a disk hangs on. A
# disk's path (Get-Disk) holds its id, with # for the backslashes.
Add-Result 'disks' {
    $disks = @(Get-PhysicalDisk | ForEach-Object {
            [ordered]@{
                id = $_.DeviceId
                name = $_.FriendlyName
                serial = $_.SerialNumber
                firmware = $_.FirmwareVersion
                bus = "$($_.BusType)"
                size = $_.Size
                logical_sector = $_.LogicalSectorSize
                physical_sector = $_.PhysicalSectorSize
                health = "$($_.HealthStatus)"
            }
        })
    $volumes = @(Get-Disk | ForEach-Object {
            [ordered]@{
                number = $_.Number
                path = $_.Path
                location = $_.Location
                style = "$($_.PartitionStyle)"
                boot = $_.IsBoot
                system = $_.IsSystem
                read_only = $_.IsReadOnly
            }
        })
    $parents = @(Get-PnpDevice -PresentOnly | Where-Object { $_.Class -eq 'DiskDrive' } | ForEach-Object {
            $parent = (Get-PnpDeviceProperty -InstanceId $_.InstanceId -KeyName 'DEVPKEY_Device_Parent').Data
            [ordered]@{
                id = $_.InstanceId
                name = $_.FriendlyName
                parent = $parent
                service = (Get-PnpDeviceProperty -InstanceId $parent -KeyName 'DEVPKEY_Device_Service').Data
            }
        })
    [ordered]@{ physical = $disks; disks = $volumes; parents = $parents }
}

# MS: "SetupAPI text logs", "Format of a text log section": a section starts with '>>>' and ends with '<<<'.
Add-Result 'setupapi' {
    $path = Join-Path -Path $env:SystemRoot -ChildPath 'INF\setupapi.dev.log'
    if (-not (Test-Path -LiteralPath $path)) {
        throw "not-run: there is no $path"
    }
    $names = ($Infs + $Provider | ForEach-Object { [regex]::Escape($_) }) -join '|'
    $kept = New-Object -TypeName 'System.Collections.Generic.List[string]'
    $section = New-Object -TypeName 'System.Collections.Generic.List[string]'
    $ours = $false
    foreach ($line in [IO.File]::ReadLines($path)) {
        if ($line.StartsWith('>>>  [')) {
            $section.Clear()
            $ours = $false
        }
        $section.Add($line)
        if ($line -match $names) {
            $ours = $true
        }
        if ($ours -and $line.StartsWith('<<<  [Exit')) {
            $kept.AddRange($section)
            $section.Clear()
            $ours = $false
        }
    }
    $first = [Math]::Max(0, $kept.Count - $LineLimit)
    [ordered]@{ path = $path; lines = @($kept.GetRange($first, $kept.Count - $first)) }
}

# The driver's own events, those of disks and of the drivers that Windows uses instead, and stops (BugCheck). MS: Get-WinEvent.
Add-Result 'events' {
    $sources = $Services + @('disk', 'storahci', 'stornvme', 'Ntfs', 'Microsoft-Windows-Ntfs', 'BugCheck',
        'Microsoft-Windows-WER-SystemErrorReporting', 'Microsoft-Windows-Kernel-PnP', 'Service Control Manager')
    $filter = @{ LogName = 'System'; StartTime = (Get-Date).AddDays(-$Days); Level = 1, 2, 3 }
    $warnings = @(Get-EventList $filter $sources)
    # What the driver says when all is well is of interest too.
    $filter = @{ LogName = 'System'; StartTime = (Get-Date).AddDays(-$Days) }
    [ordered]@{ days = $Days; own = @(Get-EventList $filter $Services); warnings = $warnings }
}

# MS: "Viewing code integrity events": why a driver was not loaded.
Add-Result 'code_integrity' {
    Assert-Elevated
    $filter = @{ LogName = 'Microsoft-Windows-CodeIntegrity/Operational'; StartTime = (Get-Date).AddDays(-$Days) }
    [ordered]@{ days = $Days; events = @(Get-EventList $filter @()) }
}

# MS: "Driver Verifier command syntax": /querysettings.
Add-Result 'verifier' {
    Assert-Elevated
    Get-ProgramOutput 'verifier.exe' @('/querysettings')
}

# MS: "Running InfVerif from the command line": /v tells more, /w asks what Windows drivers must meet, /h (WDK of 24H2) what a WHQL
# signature asks. The program comes with the Windows Driver Kit. MS: Sort-Object, Select-Object.
Add-Result 'infverif' {
    Assert-Elevated
    $kits = Join-Path -Path ${env:ProgramFiles(x86)} -ChildPath 'Windows Kits\10\Tools'
    if (-not (Test-Path -LiteralPath $kits)) {
        throw 'not-run: the Windows Driver Kit is not installed'
    }
    $program = @(Get-ChildItem -LiteralPath $kits -Recurse -File -Filter 'infverif.exe' | Sort-Object -Property FullName | Select-Object -Last 1)
    if ($program.Count -eq 0) {
        throw 'not-run: the Windows Driver Kit has no infverif.exe'
    }
    $runs = @(Get-OwnPackage | ForEach-Object {
            foreach ($mode in @('/w', '/h')) {
                Get-ProgramOutput $program[0].FullName @('/v', $mode, $_.OriginalFileName)
            }
        })
    if ($runs.Count -eq 0) {
        throw 'not-run: no package of WinPV is in the driver store'
    }
    [ordered]@{ runs = $runs }
}

# The helper's own log, docs/install-msi.md.
Add-Result 'setup_log' {
    Get-Tail (Join-Path -Path $env:SystemRoot -ChildPath 'Logs\WinPV\setup.log')
}

# MS: msiexec, "Windows Installer logging". MS: Select-String.
Add-Result 'msi_logs' {
    if ($MsiLog.Count -eq 0) {
        throw 'not-run: no log was named with -MsiLog'
    }
    $logs = @($MsiLog | ForEach-Object {
            $found = @(Select-String -LiteralPath $_ -Pattern 'WinPV|Return value|MainEngineThread|error' | ForEach-Object { $_.Line })
            $last = @($found | Select-Object -Last $LineLimit)
            [ordered]@{ path = $_; lines = $last }
        })
    [ordered]@{ logs = $logs }
}

# Crash dumps by name only: they hold the machine's memory.
Add-Result 'dumps' {
    Assert-Elevated
    $places = @((Join-Path -Path $env:SystemRoot -ChildPath 'MEMORY.DMP'), (Join-Path -Path $env:SystemRoot -ChildPath 'Minidump'))
    $files = @($places | Where-Object { Test-Path -LiteralPath $_ } | ForEach-Object { Get-ChildItem -LiteralPath $_ -File } | ForEach-Object {
            [ordered]@{ path = $_.FullName; size = $_.Length; time = $_.LastWriteTimeUtc.ToString('o') }
        })
    [ordered]@{ files = $files }
}

$Whole = [ordered]@{
    format = 1
    collected = (Get-Date).ToUniversalTime().ToString('o')
    items = $Report
}
# MS: ConvertTo-Json (-Depth). .NET writes the file, as UTF-8 without a mark and only if it is new (FileMode.CreateNew).
$Bytes = [Text.Encoding]::UTF8.GetBytes((ConvertTo-Json -InputObject $Whole -Depth 8))
$Stream = [IO.File]::Open($Path, [IO.FileMode]::CreateNew)
try {
    $Stream.Write($Bytes, 0, $Bytes.Length)
} finally {
    $Stream.Dispose()
}
# MS: Write-Output.
foreach ($id in $Report.Keys) {
    Write-Output ('{0,-8} {1} {2}' -f $Report[$id].state, $id, $Report[$id].reason)
}
Write-Output "written to $Path"

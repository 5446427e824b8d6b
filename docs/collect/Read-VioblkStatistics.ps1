<#
.SYNOPSIS
Prints the statistics of WinPV's disk driver; docs/statistics.md says what each number means.
.PARAMETER Port
The number in \\.\ScsiN:. Without it all ports are asked.
#>
[CmdletBinding()]
param([ValidateRange(0, 255)][int[]]$Port = (0..31))

Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'

Add-Type -TypeDefinition @'
using System;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

public static class WinPVPort
{
    [DllImport("kernel32.dll", CharSet = CharSet.Unicode, SetLastError = true)]
    public static extern SafeFileHandle CreateFileW(string name, uint access, uint share, IntPtr security, uint disposition, uint flags, IntPtr template);

    [DllImport("kernel32.dll", SetLastError = true)]
    public static extern bool DeviceIoControl(SafeFileHandle file, uint code, byte[] input, int inputLength, byte[] output, int outputLength, out int returned, IntPtr overlapped);
}
'@

$ioctlScsiMiniport = [uint32]0x0004D008
$head = 28
$room = 128 + 64 * 64

function Read-Port([int]$number) {
    # GENERIC_READ and GENERIC_WRITE, FILE_SHARE_READ and FILE_SHARE_WRITE, OPEN_EXISTING
    $file = [WinPVPort]::CreateFileW("\\.\Scsi${number}:", [uint32]3221225472, 3, [IntPtr]::Zero, 3, 0, [IntPtr]::Zero)
    if ($file.IsInvalid) { return $null }
    try {
        $buffer = New-Object byte[] ($head + $room)
        [BitConverter]::GetBytes([uint32]$head).CopyTo($buffer, 0)
        [Text.Encoding]::ASCII.GetBytes('WINPVBLK').CopyTo($buffer, 4)
        [BitConverter]::GetBytes([uint32]10).CopyTo($buffer, 12)
        [BitConverter]::GetBytes([uint32]1).CopyTo($buffer, 16)
        [BitConverter]::GetBytes([uint32]$room).CopyTo($buffer, 24)
        $returned = 0
        $done = [WinPVPort]::DeviceIoControl($file, $ioctlScsiMiniport, $buffer, $buffer.Length, $buffer, $buffer.Length, [ref]$returned, [IntPtr]::Zero)
        if (-not $done -or [BitConverter]::ToUInt32($buffer, 20) -ne 0) { return $null }
        return , $buffer
    }
    finally {
        $file.Dispose()
    }
}

foreach ($number in $Port) {
    $answer = Read-Port $number
    if ($null -eq $answer) { continue }
    $part = [int][BitConverter]::ToUInt32($answer, $head + 4)
    $each = [int][BitConverter]::ToUInt32($answer, $head + 8)
    $parts = [int][BitConverter]::ToUInt32($answer, $head + 16)
    $events = @{}
    foreach ($id in 0..15) {
        $count = [BitConverter]::ToUInt32($answer, $head + 64 + 4 * $id)
        if ($count -ne 0) { $events[$id] = $count }
    }
    New-Object PSObject -Property @{
        Port       = $number
        Queues     = [BitConverter]::ToUInt32($answer, $head + 12)
        Flags      = [BitConverter]::ToUInt32($answer, $head + 20)
        Blocks     = [BitConverter]::ToUInt64($answer, $head + 24)
        BlockSize  = [BitConverter]::ToUInt32($answer, $head + 32)
        Features   = '0x{0:x}' -f [BitConverter]::ToUInt64($answer, $head + 40)
        Resets     = [BitConverter]::ToUInt64($answer, $head + 48)
        SenseData  = [BitConverter]::ToUInt64($answer, $head + 56)
        Events     = $events
    } | Format-List
    $queues = for ($index = 0; $index -lt $parts; $index++) {
        $at = $head + $part + $index * $each
        New-Object PSObject -Property @{
            Queue    = $index
            Sent     = [BitConverter]::ToUInt64($answer, $at)
            Finished = [BitConverter]::ToUInt64($answer, $at + 8)
            InFlight = [BitConverter]::ToUInt32($answer, $at + 16)
            Waiting  = [BitConverter]::ToUInt32($answer, $at + 20)
            Full     = [BitConverter]::ToUInt64($answer, $at + 24)
            Waited   = [BitConverter]::ToUInt64($answer, $at + 32)
            Failed   = [BitConverter]::ToUInt64($answer, $at + 40)
            Moved    = [BitConverter]::ToUInt64($answer, $at + 48)
            Copied   = [BitConverter]::ToUInt64($answer, $at + 56)
        }
    }
    $queues | Format-Table -AutoSize Queue, Sent, Finished, InFlight, Waiting, Full, Waited, Failed, Moved, Copied
}

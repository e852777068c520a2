# What a script run by Slipway can call.
$ErrorActionPreference = 'Stop'
$PSNativeCommandArgumentPassing = 'Legacy'
try { [Console]::OutputEncoding = New-Object System.Text.UTF8Encoding $false } catch { }
if ($null -ne (Get-Variable -Name PSStyle -ErrorAction SilentlyContinue)) { $PSStyle.OutputRendering = 'PlainText' }
$SlipwayNonce = ''
$OctopusParameters = New-Object 'System.Collections.Generic.Dictionary[String,String]' (, [System.StringComparer]::OrdinalIgnoreCase)

function ConvertTo-SlipwayValue([string]$value) {
    return [Convert]::ToBase64String([System.Text.Encoding]::UTF8.GetBytes($value))
}

function Write-SlipwayLevel([string]$level) {
    Write-Host "##octopus[stdout-$level$SlipwayNonce]"
}

function Write-SlipwayError($record) {
    [Console]::Error.WriteLine([string]$record)
    if ($record.InvocationInfo) { [Console]::Error.WriteLine($record.InvocationInfo.PositionMessage) }
    if ($record.ScriptStackTrace) { [Console]::Error.WriteLine($record.ScriptStackTrace) }
}

function Read-SlipwayVariables([string]$path) {
    foreach ($line in [System.IO.File]::ReadAllLines($path)) {
        $parts = $line.Split(' ')
        $name = [System.Text.Encoding]::UTF8.GetString([Convert]::FromBase64String($parts[0]))
        $value = [System.Text.Encoding]::UTF8.GetString([Convert]::FromBase64String($parts[1]))
        $OctopusParameters[$name] = $value
        $plain = $name -replace '[^A-Za-z0-9_]', ''
        if ($plain -ne '' -and -not (Test-Path -LiteralPath "variable:$plain")) {
            Set-Variable -Name $plain -Value $value -Scope Script
        }
    }
}

function Set-OctopusVariable([string]$name, [string]$value, [switch]$sensitive) {
    $OctopusParameters[$name] = $value
    $flag = ''
    if ($sensitive) { $flag = " sensitive='" + (ConvertTo-SlipwayValue 'True') + "'" }
    Write-Host "##octopus[setVariable name='$(ConvertTo-SlipwayValue $name)' value='$(ConvertTo-SlipwayValue $value)'$flag$SlipwayNonce]"
}

function New-OctopusArtifact {
    [CmdletBinding()]
    param(
        [Parameter(Position = 0, ValueFromPipeline = $true, ValueFromPipelineByPropertyName = $true)]
        [Alias('FullName')]
        [Alias('Path')]
        [string]$FullPath,
        [Parameter(Position = 1, ValueFromPipelineByPropertyName = $true)]
        [string]$Name = ''
    )
    process {
        $full = $ExecutionContext.SessionState.Path.GetUnresolvedProviderPathFromPSPath($FullPath)
        $full = [System.IO.Path]::GetFullPath($full)
        if ($Name -eq '') { $Name = [System.IO.Path]::GetFileName($full) }
        $length = 0
        if ([System.IO.File]::Exists($full)) { $length = ([System.IO.FileInfo]$full).Length }
        Write-Verbose "Artifact $Name will be collected from $full after this step completes"
        Write-Host "##octopus[createArtifact path='$(ConvertTo-SlipwayValue $full)' name='$(ConvertTo-SlipwayValue $Name)' length='$(ConvertTo-SlipwayValue $length)'$SlipwayNonce]"
    }
}

function Fail-Step([string]$message) {
    if ($message) { Write-Host "##octopus[resultMessage message='$(ConvertTo-SlipwayValue $message)'$SlipwayNonce]" }
    exit -1
}

function Update-Progress {
    [CmdletBinding()]
    param([int]$percentage, [Parameter(ValueFromPipeline = $true)][string]$message)
    process {
        Write-Host "##octopus[progress percentage='$(ConvertTo-SlipwayValue $percentage)' message='$(ConvertTo-SlipwayValue $message)'$SlipwayNonce]"
    }
}

function Write-Verbose {
    [CmdletBinding()]
    param([Parameter(Position = 0, ValueFromPipeline = $true)][AllowEmptyString()][string]$Message)
    begin { Write-SlipwayLevel 'verbose' }
    process { Write-Host $Message }
    end { Write-SlipwayLevel 'default' }
}

function Write-Debug {
    [CmdletBinding()]
    param([Parameter(Position = 0, ValueFromPipeline = $true)][AllowEmptyString()][string]$Message)
    process { Write-Verbose $Message }
}

function Write-Highlight {
    [CmdletBinding()]
    param([Parameter(Position = 0, ValueFromPipeline = $true)][AllowEmptyString()][string]$Message)
    begin { Write-SlipwayLevel 'highlight' }
    process { Write-Host $Message }
    end { Write-SlipwayLevel 'default' }
}

function Write-Wait {
    [CmdletBinding()]
    param([Parameter(Position = 0, ValueFromPipeline = $true)][AllowEmptyString()][string]$Message)
    begin { Write-SlipwayLevel 'wait' }
    process { Write-Host $Message }
    end { Write-SlipwayLevel 'default' }
}

function Write-Warning {
    [CmdletBinding()]
    param([Parameter(Position = 0, ValueFromPipeline = $true)][AllowEmptyString()][string]$Message)
    begin { Write-SlipwayLevel 'warning' }
    process { if ($WarningPreference -ne 'SilentlyContinue') { Write-Host $Message } }
    end { Write-SlipwayLevel 'default' }
}


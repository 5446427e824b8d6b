@echo off
rem Loads the boot drivers of a WinPV medium into the Windows PE that runs.
rem PROCESSOR_ARCHITECTURE is AMD64 or ARM64, as the folders of the medium are named.
setlocal
set found=
for %%d in (C D E F G H I J K L M N O P Q R S T U V W X Y Z) do (
    if exist %%d:\manifest.json if exist %%d:\boot\%PROCESSOR_ARCHITECTURE%\*.inf call :load %%d:\boot\%PROCESSOR_ARCHITECTURE%
)
if defined found exit /b 0
echo winpv: no WinPV medium found
exit /b 1

:load
set found=yes
for %%i in (%1\*.inf) do (
    echo winpv: loading %%i
    drvload %%i || echo winpv: drvload did not take %%i
)
exit /b 0

@echo off
rem Loads the boot drivers of a WinPV medium into the Windows PE that runs.
rem PROCESSOR_ARCHITECTURE is AMD64 or ARM64, as the folders of the medium are named.
setlocal
set loaded=
for %%d in (C D E F G H I J K L M N O P Q R S T U V W X Y Z) do (
    if exist %%d:\boot\%PROCESSOR_ARCHITECTURE%\vioblk.inf (
        for %%i in (%%d:\boot\%PROCESSOR_ARCHITECTURE%\*.inf) do (
            echo winpv: loading %%i
            drvload %%i
            if errorlevel 1 exit /b 1
        )
        set loaded=yes
    )
)
if not defined loaded (
    echo winpv: no WinPV medium found
    exit /b 2
)
exit /b 0
